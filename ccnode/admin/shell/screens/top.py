"""``top`` on a terminal: prompt-toolkit reads keys and paints what `draw` says, threads ask and tell the node.

Everything of the model happens in the thread of the terminal. The threads that look at the node, and the one that sends
it a command, hand over what they have and go on.
"""

from collections.abc import Callable
from contextlib import suppress
from threading import Thread

from prompt_toolkit.application import Application
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import FormattedTextControl, Layout, Window
from prompt_toolkit.styles import Style

from ccnode.admin.shell.remote import Remote
from ccnode.admin.shell.screens.draw import draw
from ccnode.admin.shell.screens.looks import News, Watcher
from ccnode.admin.shell.screens.model import Action, Call, Leave, Top
from ccnode.errors import CcnodeError

REDRAW_SECONDS = 0.05
"""The least time between two paintings, however much the log says."""

STYLE = Style(
    [
        ("title", "bold"),
        ("head", "underline"),
        ("sorted", "bold"),
        ("selected", "reverse"),
        ("cursor", "reverse"),
        ("question", "bold"),
        ("hint", ""),
        ("dim", "ansibrightblack"),
        ("alarm", "bold reverse ansired"),
        ("in", "ansicyan"),
        ("out", "ansigreen"),
        ("warning", "ansiyellow"),
        ("error", "ansired"),
    ]
)

_NAMES = {
    Keys.Up: "up",
    Keys.Down: "down",
    Keys.PageUp: "pageup",
    Keys.PageDown: "pagedown",
    Keys.Home: "home",
    Keys.End: "end",
    Keys.Enter: "enter",
    Keys.Escape: "escape",
    Keys.Backspace: "backspace",
}


class Screen:
    """``top`` from its beginning to its end."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._top = Top(read_only=remote.read_only)
        self._application: Application[None] = Application(
            layout=Layout(Window(FormattedTextControl(self._text), always_hide_cursor=True)),
            key_bindings=self._keys(),
            style=STYLE,
            full_screen=True,
            min_redraw_interval=REDRAW_SECONDS,
        )
        self._application.ttimeoutlen = REDRAW_SECONDS  # Esc is a key of its own, and nobody should wait for it

    def run(self) -> None:
        """Until its user leaves."""
        watcher = Watcher(self._remote, self._tell)
        try:
            self._application.run(pre_run=watcher.start)
        finally:
            watcher.stop()

    def _text(self) -> StyleAndTextTuples:
        size = self._application.output.get_size()
        self._top.columns, self._top.lines = size.columns, size.rows
        pieces: StyleAndTextTuples = []
        for line in draw(self._top):
            pieces += [*line, ("", "\n")]
        return pieces[:-1]

    # -- from other threads ------------------------------------------------------------------------------------------

    def _tell(self, news: News) -> None:
        self._hand_over(lambda: self._top.receive(news))

    def _hand_over(self, change: Callable[[], None]) -> None:
        """Have the terminal's thread make a change and paint anew. Without a terminal any more, nothing."""
        loop = self._application.loop
        if loop is None or loop.is_closed():
            return

        def run() -> None:
            change()
            self._application.invalidate()

        with suppress(RuntimeError):  # the screen was left at this very moment
            loop.call_soon_threadsafe(run)

    # -- keys --------------------------------------------------------------------------------------------------------

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        for key, name in _NAMES.items():
            keys.add(key)(lambda event, name=name: self._press(name))
        keys.add(Keys.ControlC)(lambda event: self._act(Leave()))

        @keys.add(Keys.Any)
        def character(event: KeyPressEvent) -> None:
            if event.data.isprintable() and len(event.data) == 1:
                self._press(event.data)

        return keys

    def _press(self, key: str) -> None:
        action = self._top.press(key)
        if action is not None:
            self._act(action)

    def _act(self, action: Action) -> None:
        if isinstance(action, Leave):
            self._application.exit()
        else:
            Thread(target=self._send, args=[action], daemon=True).start()

    def _send(self, call: Call) -> None:
        try:
            self._remote.call(call.method, *call.params)
            message = call.done
        except CcnodeError as error:
            message = str(error)
        self._hand_over(lambda: self._top.say(message))
