"""The registry: every admin command, declared as data around a plain function.

::

    @command("getblockhash", "blockchain", args=[Arg("height", ArgType.INTEGER, "...")], help="...", result="...")
    def get_block_hash(context: AdminContext, height: int) -> str: ...

That is all there is to adding a command. The unix socket, ``ccnode rpc`` and the shell find it by name; its help text,
the checks of its arguments and a shell's completion come out of the declaration. A command of Core's has Core's name,
category, argument names, result fields and errors.

A function returns a JSON value or raises `RpcError` (or `WrongUsage`, to answer with the help text). It runs in the
greenlet of the client that called; long loops let others run (`ccnode.network.hub.breathe`).
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from ccnode.admin import rpc_errors
from ccnode.admin.arguments import Arg, ArgType, WrongUsage, bind
from ccnode.errors import RpcError

__all__ = ["HIDDEN", "REGISTRY", "Arg", "ArgType", "Command", "Registry", "WrongUsage", "command"]

Function = TypeVar("Function", bound=Callable[..., object])

HIDDEN: Final = "hidden"
"""The category of commands that the list of commands leaves out (``help NAME`` still explains them)."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command. ``example`` is the rest of a command line after the name."""

    name: str
    category: str
    function: Callable[..., object]
    args: tuple[Arg, ...]
    help: str
    result: str
    example: str
    changes: bool
    """It changes the node, what the node does or a file; a caller that only wants to look is refused."""

    def call(self, context: object, params: object, *, words: bool = False) -> object:
        """Run the command with a request's ``params``. Raises `RpcError`; wrong usage brings the help text, as -1."""
        try:
            return self.function(context, **bind(self.args, params, words=words))
        except WrongUsage:
            raise RpcError(rpc_errors.MISC_ERROR, self.help_text()) from None

    @property
    def summary(self) -> str:
        """The first sentence of the help."""
        return self.help.split("\n")[0].split(". ")[0].rstrip(".") + "."

    def usage(self) -> str:
        """One line: the name and the arguments, optional ones in parentheses."""
        words = [self.name]
        in_parentheses = False
        for arg in self.args:
            if not arg.required and not in_parentheses:
                words.append("(")
                in_parentheses = True
            words.append(f'"{arg.name}"' if arg.type in (ArgType.STRING, ArgType.HASH) else arg.name)
        return " ".join([*words, ")"] if in_parentheses else words)

    def help_text(self) -> str:
        """The full explanation, in the order that Core's ``help NAME`` has."""
        parts = [self.usage(), self.help]
        if self.args:
            width = max(len(arg.name) for arg in self.args) + 4
            shown = [f"{at}. {arg.name:{width}}({arg.traits}) {arg.help}" for at, arg in enumerate(self.args, 1)]
            parts.append("\n".join(["Arguments:", *shown]))
        parts.append(f"Result:\n{self.result}")
        parts.append(f"Examples:\n> ccnode rpc {self.name} {self.example}".rstrip())
        return "\n\n".join(parts)


class Registry:
    """The commands by name."""

    def __init__(self) -> None:
        self._commands: dict[str, Command] = {}

    def __iter__(self) -> Iterator[Command]:
        return iter(self._commands.values())

    def __len__(self) -> int:
        return len(self._commands)

    def find(self, name: str) -> Command | None:
        """The command of that name."""
        return self._commands.get(name)

    def command(
        self,
        name: str,
        category: str,
        *,
        args: Sequence[Arg] = (),
        help: str,  # noqa: A002 - it reads best where commands are declared
        result: str,
        example: str = "",
        changes: bool = False,
    ) -> Callable[[Function], Function]:
        """A decorator that declares a function as a command.

        Raises ValueError at import for a name taken, parameters that differ from ``args``, or a required argument
        after an optional one.
        """

        def declare(function: Function) -> Function:
            _, *taken = inspect.signature(function).parameters.values()
            parameters = [parameter.name for parameter in taken]
            takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in taken)
            if not takes_any and parameters != [arg.name for arg in args]:
                raise ValueError(f"{name}: the function takes {parameters}, declared are {[arg.name for arg in args]}")
            if sorted(args, key=lambda arg: not arg.required) != list(args):
                raise ValueError(f"{name}: a required argument follows an optional one")
            if name in self._commands:
                raise ValueError(f"{name} is declared twice")
            self._commands[name] = Command(name, category, function, tuple(args), help, result, example, changes)
            return function

        return declare

    def call(
        self, context: object, name: str, params: object, *, words: bool = False, read_only: bool = False
    ) -> object:
        """Run the command ``name``. Raises `RpcError`: -32601 if there is none, -2 if ``read_only`` forbids it."""
        found = self.find(name)
        if found is None:
            raise RpcError(rpc_errors.METHOD_NOT_FOUND, "Method not found")
        if read_only and found.changes:
            raise RpcError(rpc_errors.FORBIDDEN, f"{name} changes the node, and this shell is attached read-only")
        return found.call(context, params, words=words)

    def overview(self) -> str:
        """All commands but the hidden ones, a line each, by category: what ``help`` prints."""
        categories = sorted({command.category for command in self} - {HIDDEN})
        blocks = []
        for category in categories:
            usages = sorted(command.usage() for command in self if command.category == category)
            blocks.append("\n".join([f"== {category.capitalize()} ==", *usages]))
        return "\n\n".join(blocks)


REGISTRY: Final = Registry()
"""The node's commands; ``ccnode.admin.commands`` fills it."""

command = REGISTRY.command
