"""The prompt: history, completion, a line about the node at the bottom."""

from pathlib import Path
from typing import Final

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.history import FileHistory

from ccnode.admin.shell.completion import completer
from ccnode.admin.shell.session import Leave, Shell
from ccnode.admin.shell.toolbar import SECONDS, Toolbar

HISTORY_NAME: Final = "shell_history"

WELCOME: Final = "help lists the commands, help COMMAND explains one, Ctrl-D leaves"


def interact(shell: Shell, folder: Path) -> int:
    """Prompt until the user leaves; 0. NotRunning if there is no node to begin with."""
    shell.interactive = True
    shell.remote.call("uptime")
    with Toolbar(shell.remote) as toolbar:
        session: PromptSession[str] = PromptSession(
            "ccnode> ",
            completer=completer(shell.remote),
            complete_while_typing=True,
            complete_in_thread=True,
            auto_suggest=AutoSuggestFromHistory(),
            history=FileHistory(str(folder / HISTORY_NAME)),
            bottom_toolbar=lambda: toolbar.text,
            refresh_interval=SECONDS / 2,
        )
        print(WELCOME)
        while True:
            try:
                shell.run(session.prompt())
            except KeyboardInterrupt:
                continue
            except (EOFError, Leave):
                return 0
