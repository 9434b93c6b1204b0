"""The prompt: history, completion, colours, a line about the node at the bottom."""

from pathlib import Path
from typing import Final

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.filters import Condition, to_filter
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.styles import Style

from ccnode.admin.shell.completion import Words
from ccnode.admin.shell.lexer import STYLES, Colours
from ccnode.admin.shell.line import is_open, join
from ccnode.admin.shell.output import PROMPT_LINES
from ccnode.admin.shell.session import Leave, Shell
from ccnode.admin.shell.toolbar import Toolbar

HISTORY_NAME: Final = "shell_history"

WELCOME: Final = "help lists the commands, Ctrl-R searches what was typed, Ctrl-D leaves"

FIRST_ANSWER: Final = 5.0
"""Seconds until a node that takes connections but does not answer is no node to begin with."""

RESTARTED: Final = "the node was started again since the last command"

STYLE: Final = Style.from_dict(
    {
        **STYLES,
        "prompt": "bold",
        "match": "bold underline",
        "bottom-toolbar": "noreverse bg:ansiblack ansiwhite",
        "toolbar.chain": "bold",
        "toolbar.bar": "ansibrightblack",
        "toolbar.mark": "ansiyellow",
        "toolbar.gone": "ansired",
    }
)


def interact(shell: Shell, folder: Path) -> int:
    """Prompt until the user leaves; 0. The history is in ``folder``. NotRunning if there is no node to begin with."""
    shell.interactive = True
    toolbar = Toolbar(shell.remote)
    session = make_session(shell, toolbar, folder)
    shell.remote.call("uptime", timeout=FIRST_ANSWER)
    print(WELCOME)
    try:
        while True:
            _prompt_once(shell, toolbar, session)
    except (EOFError, Leave):
        return 0
    finally:
        toolbar.stop()


def _prompt_once(shell: Shell, toolbar: Toolbar, session: "PromptSession[str]") -> None:
    """One line, typed and run. EOFError, Leave."""
    try:
        text = session.prompt()
    except KeyboardInterrupt:
        return
    try:
        if text.strip() and toolbar.restarted():
            print(RESTARTED)
        for line in join(text.split("\n")):  # several, where they were pasted
            shell.run(line)
    except KeyboardInterrupt:
        print("cancelled")


def make_session(shell: Shell, toolbar: Toolbar, folder: Path) -> "PromptSession[str]":
    """The prompt, ready to ask."""
    session: PromptSession[str] = PromptSession(
        [("class:prompt", "ccnode> ")],
        completer=Words(shell.remote),
        complete_while_typing=True,
        complete_in_thread=True,
        reserve_space_for_menu=PROMPT_LINES,  # at 8, as it would be, the head of a table is out of sight
        auto_suggest=AutoSuggestFromHistory(),
        history=_history(folder / HISTORY_NAME),
        lexer=Colours(shell.remote),
        multiline=Condition(lambda: is_open(session.default_buffer.text)),
        prompt_continuation=lambda width, _number, _wrapped: " " * (width - 4) + "... ",
        key_bindings=_keys(),
        style=STYLE,
        bottom_toolbar=lambda: toolbar.text,
    )
    session.app.after_render += lambda app: toolbar.start(app.invalidate)
    # Given to PromptSession, it would switch completion while typing off.
    session.default_buffer.enable_history_search = to_filter(True)
    return session


def _history(path: Path) -> History:
    """What was typed, shared by all shells on a node: each adds lines at the end. For its owner only."""
    try:
        path.touch(mode=0o600)
    except OSError:  # a node of somebody else's
        return InMemoryHistory()
    return FileHistory(path)


def _keys() -> KeyBindings:
    """Up goes back in history, to lines that begin like this one, unless somebody has gone into the menu."""
    keys = KeyBindings()

    @Condition
    def menu_untouched() -> bool:
        state = get_app().current_buffer.complete_state
        return state is not None and state.current_completion is None

    @keys.add("up", filter=menu_untouched)
    def _back(event: KeyPressEvent) -> None:
        event.current_buffer.cancel_completion()
        event.current_buffer.auto_up(count=event.arg)

    return keys
