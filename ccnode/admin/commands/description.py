"""The registry itself, for programs that show it: the shell's completion and the generated documents."""

from typing import Final

from ccnode import log
from ccnode.admin.arguments import Arg, ArgType
from ccnode.admin.context import AdminContext
from ccnode.admin.registry import HIDDEN, REGISTRY, Command, command

_VALUES: Final = {"category": tuple(log.CATEGORIES)}
"""Kinds of completion whose values never change; the others are looked up when they are wanted."""


@command(
    "describe",
    HIDDEN,
    help="Returns every command as data: what ``help`` says, for programs.",
    result="""[{
  "name": "str",
  "category": "str",
  "summary": "str",                  the first sentence of the explanation
  "usage": "str",
  "changes": true|false,             refused to a caller that only looks
  "args": [{
    "name": "str",
    "type": "str",
    "required": true|false,
    "help": "str",
    "completion": "str"|["str", ...]|null    what its values are: a kind, or the values themselves
  }, ...]
}, ...]""",
)
def describe(_context: AdminContext) -> list[dict[str, object]]:
    return [_described(each) for each in sorted(REGISTRY, key=lambda each: each.name)]


def _described(each: Command) -> dict[str, object]:
    shown = {"name": each.name, "category": each.category, "summary": each.summary, "usage": each.usage()}
    return {**shown, "changes": each.changes, "args": [_argument(arg) for arg in each.args]}


def _argument(arg: Arg) -> dict[str, object]:
    completion = arg.completion
    if isinstance(completion, str):
        completion = _VALUES.get(completion, completion)
    elif completion is None and arg.type is ArgType.BOOLEAN:
        completion = ("true", "false")
    return {
        "name": arg.name,
        "type": arg.type.value,
        "required": arg.required,
        "help": arg.help,
        "completion": completion,
    }
