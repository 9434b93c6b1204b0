"""The shell's own words: plain commands that ask the node one or several things and show the answer as people like it.

::

    @view("bans", "Bans", help="Lists the bans.", uses=("listbanned",), examples=("bans",))
    def bans(shell: Session, given: Given) -> Result: ...

That is all there is to adding one. Usage, help, completion, the checks of arguments and options, ``--json`` and the
documentation follow from the declaration. A view asks and shows; what may be asked, and what it means, is the node's.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, Protocol

from ccnode.admin.shell.remote import Remote
from ccnode.errors import CcnodeError

if TYPE_CHECKING:  # rich takes its time, and the prompt can be there without it
    from rich.console import RenderableType


class UsageError(CcnodeError):
    """The words after a command are not what it takes."""


@dataclass(frozen=True, slots=True)
class Argument:
    """A word that a view takes. ``completion``: a kind, or the words themselves (see ``completion.py``)."""

    name: str
    help: str
    optional: bool = False
    many: bool = False
    """The last argument only: takes all the words that are left."""
    options: bool = False
    """With ``many``: options that the view does not have are such words."""
    completion: str | tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """``--name``, or ``--name VALUE`` where ``value`` says what stands there."""

    name: str
    help: str
    value: str | None = None
    completion: str | tuple[str, ...] | None = None


JSON: Final = Option("json", "print the exact answer as JSON")


@dataclass(frozen=True, slots=True)
class Given:
    """The words and options of one call. A flag that is not there is absent, not False."""

    arguments: Mapping[str, str]
    rest: tuple[str, ...]
    """The words of an argument that takes many."""
    options: Mapping[str, str]

    def get(self, name: str) -> str | None:
        """An argument or an option's value; None where it is not given."""
        return self.arguments.get(name, self.options.get(name))

    def has(self, name: str) -> bool:
        return name in self.options


class Session(Protocol):
    """What a view may use."""

    @property
    def remote(self) -> Remote: ...

    @property
    def width(self) -> int:
        """Columns of the terminal, or of what stands for one."""
        ...

    @property
    def terminal(self) -> bool:
        """The output goes to a terminal, not into a file or a program."""
        ...

    def screenful(self, words: Sequence[str]) -> str:
        """What a line of these words would print at present. CcnodeError, RpcError."""
        ...

    def confirm(self, question: str) -> bool:
        """Ask whoever sits there, yes or no. A script meant what it says: yes."""
        ...


@dataclass(frozen=True, slots=True)
class Result:
    """What a view answers. ``data``: what ``--json`` prints; ``show``: what a person sees, made when it is wanted."""

    data: object
    show: "Callable[[], RenderableType]"
    wide: bool = False
    """Not to be squeezed into the terminal."""


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer without an end: lines as they come, until Ctrl-C. Then the generator is closed."""

    lines: "Generator[RenderableType, None, None]"


@dataclass(frozen=True, slots=True)
class Screen:
    """An answer that takes the whole terminal until its user leaves it. Only where `Session.terminal` is true."""

    run: Callable[[], None]


Answer = Result | Stream | Screen


@dataclass(frozen=True, slots=True)
class View:
    """One word of the shell's."""

    name: str
    subject: str
    function: Callable[[Session, Given], Answer]
    arguments: tuple[Argument, ...]
    options: tuple[Option, ...]
    help: str
    uses: tuple[str, ...]
    """The node's commands that it calls; without them the view does not work."""
    examples: tuple[str, ...]

    @property
    def summary(self) -> str:
        """The first sentence of the help."""
        return self.help.split("\n")[0].split(". ")[0].rstrip(".") + "."

    def usage(self) -> str:
        """One line: ``peers [--in] [--sort COLUMN]``."""
        words = [self.name]
        for argument in self.arguments:
            shown = argument.name.upper() + ("..." if argument.many else "")
            words.append(f"[{shown}]" if argument.optional else shown)
        words += [f"[--{option.name}{' ' + option.value if option.value else ''}]" for option in self.options]
        return " ".join(words)

    def help_text(self) -> str:
        """The whole explanation."""
        parts = [self.usage(), self.help]
        rows = [(argument.name.upper(), argument.help) for argument in self.arguments]
        rows += [
            (f"--{option.name}{' ' + option.value if option.value else ''}", option.help) for option in self.options
        ]
        if rows:
            wide = max(len(name) for name, _ in rows)
            parts.append("\n".join(f"  {name:<{wide}}  {text}" for name, text in rows))
        if self.uses:
            parts.append("Asks the node: " + ", ".join(self.uses))
        parts.append("\n".join(f"> {example}" for example in self.examples))
        return "\n\n".join(parts)

    def parse(self, words: Sequence[str]) -> Given:
        """What follows the name. UsageError says which word is wrong, and shows the usage."""
        left, plain, options = list(words), [], {}
        while left:
            word = left.pop(0)
            if not word.startswith("--") or word == "--":
                plain.append(word)
                continue
            name, equals, value = word[2:].partition("=")
            option = self._option(name)
            if option is None:
                plain.append(word)
                continue
            if option.value is None:
                if equals:
                    raise self._wrong(f"--{name} takes no value")
            elif not equals:
                if not left:
                    raise self._wrong(f"--{name} wants {option.value}")
                value = left.pop(0)
            options[name] = value
        return self._given(plain, options)

    def _given(self, plain: list[str], options: Mapping[str, str]) -> Given:
        arguments: dict[str, str] = {}
        rest: tuple[str, ...] = ()
        for argument in self.arguments:
            if not plain and not argument.optional:
                raise self._wrong(f"which {argument.name}?")
            if argument.many:
                rest, plain = tuple(plain), []
            elif plain:
                arguments[argument.name] = plain.pop(0)
        if plain:
            raise self._wrong(f"unexpected word '{plain[0]}'")
        return Given(arguments, rest, options)

    def _option(self, name: str) -> Option | None:
        """None for one that is not this view's, but may be among the words that it takes."""
        for option in self.options:
            if option.name == name:
                return option
        if self.arguments and self.arguments[-1].options:
            return None
        near = get_close_matches(name, [option.name for option in self.options], n=1)
        raise self._wrong(f"there is no --{name}" + (f"; did you mean --{near[0]}?" if near else ""))

    def _wrong(self, what: str) -> UsageError:
        return UsageError(f"{what}\nusage: {self.usage()}")


class Views:
    """The views by name."""

    def __init__(self, load: Callable[[], None]) -> None:
        """:param load: declares the views; called before they are looked at, more than once."""
        self._load = load
        self._views: dict[str, View] = {}

    def __iter__(self) -> Iterator[View]:
        self._load()
        return iter(list(self._views.values()))

    def find(self, name: str) -> View | None:
        self._load()
        return self._views.get(name)

    def view(
        self,
        name: str,
        subject: str,
        *,
        help: str,  # noqa: A002 - it reads best where views are declared
        uses: Sequence[str],
        examples: Sequence[str],
        arguments: Sequence[Argument] = (),
        options: Sequence[Option] = (),
    ) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
        """A decorator that declares a function as a view; every view has ``--json``. ValueError for a name taken."""

        def declare(function: Callable[..., Answer]) -> Callable[..., Answer]:
            if name in self._views:
                raise ValueError(f"{name} is declared twice")
            every = (*options, JSON)
            self._views[name] = View(
                name, subject, function, tuple(arguments), every, help, tuple(uses), tuple(examples)
            )
            return function

        return declare


def _load_words() -> None:
    from ccnode.admin.shell.words import load_words

    load_words()


VIEWS: Final = Views(_load_words)
"""The shell's words."""

view = VIEWS.view


def passed(result: Any, text: str) -> Result:
    """The result of a view that does something: a sentence for people, the node's answer for programs."""
    return Result(result, lambda: text)
