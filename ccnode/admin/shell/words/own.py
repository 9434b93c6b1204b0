"""Words about the shell itself."""

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from ccnode.admin.client import format_result
from ccnode.admin.shell.views import VIEWS, Argument, Given, Option, Result, Session, UsageError, View, passed, view

WIDEST: Final = 110
"""Columns of text that are still good to read."""

_TABLE_ROW: Final = re.compile(r" *\S+( \S+)*  +|  +")

LAST_SUBJECT: Final = "Shell"


@view(
    "help",
    "Shell",
    help="Lists the commands, or explains one.",
    uses=("describe", "help"),
    examples=("help", "help peers", "help getblockheader", "help --all"),
    arguments=[Argument("command", "the command to explain", optional=True, completion="command")],
    options=[
        Option("all", "say of each word what it does"),
        Option("node", "list the node's own commands, which `ccnode rpc` has as well"),
    ],
)
def help_(shell: Session, given: Given) -> Result:
    name = given.get("command")
    if name is None:
        if given.has("node"):
            return _node_commands(shell)
        text = _every_word() if given.has("all") else _overview()
        return passed({view.name: view.summary for view in VIEWS}, _folded(text, shell.width))
    found = VIEWS.find(name)
    if found is not None:
        return passed(found.help_text(), _folded(found.help_text(), shell.width))
    if name not in shell.remote.commands:
        names = {each.name for each in VIEWS} | set(shell.remote.commands)
        near = get_close_matches(name, names, n=3)
        raise UsageError(f"there is no command {name}" + (f"; did you mean {' or '.join(near)}?" if near else ""))
    text = shell.remote.call("help", name)
    return passed(text, text)


def _folded(text: str, width: int) -> str:
    """Lines that are too wide broken between words; in a table, below the last column."""
    lines = []
    for line in text.split("\n"):
        table = _TABLE_ROW.match(line)
        indent = " " * (len(table.group(0)) if table else 0)
        lines += textwrap.wrap(line, min(width, WIDEST), subsequent_indent=indent) or [""]
    return "\n".join(lines)


def _overview() -> str:
    """The words by subject, on one screen."""
    wide = max(map(len, _subjects()))
    lines = []
    for subject, views in _subjects().items():
        names = [view.name for view in views] + (["exit"] if subject == LAST_SUBJECT else [])
        lines.append(f"{subject:<{wide}}  {'  '.join(names)}")
    return "\n".join(lines) + "\n\n" + _OVERVIEW_END


_OVERVIEW_END: Final = """\
help WORD explains a word, help --all says of each what it does.
The node's own commands go by their names: help --node lists them.
Every word takes --json. Output goes on with  | COMMAND,  > FILE  and  >> FILE.
Tab completes, Ctrl-R searches what was typed, Ctrl-C cancels, Ctrl-D leaves."""


def _every_word() -> str:
    """The words by subject, a line for each."""
    wide = max(len(view.name) for view in VIEWS)
    blocks = []
    for subject, views in _subjects().items():
        rows = [(view.name, view.summary) for view in views]
        rows += [("exit", "Leaves the shell (also: quit, Ctrl-D).")] if subject == LAST_SUBJECT else []
        blocks.append("\n".join([subject, *(f"  {name:<{wide}}  {summary}" for name, summary in rows)]))
    return "\n\n".join(blocks)


def _node_commands(shell: Session) -> Result:
    by_category: dict[str, list[str]] = {}
    for each in shell.remote.commands.values():
        if each["category"] != "hidden":
            by_category.setdefault(each["category"], []).append(each["name"])
    blocks = [f"{category}\n  {' '.join(names)}" for category, names in sorted(by_category.items())]
    return passed(by_category, _folded("\n".join(blocks), shell.width))


def _subjects() -> Mapping[str, Sequence[View]]:
    """In the order in which they were declared, the shell's own last."""
    found: dict[str, list[View]] = {}
    for each in VIEWS:
        found.setdefault(each.subject, []).append(each)
    found[LAST_SUBJECT] = found.pop(LAST_SUBJECT)
    return found


@view(
    "rpc",
    "Shell",
    help="Calls a command of the node by its name, as `ccnode rpc` does. The name alone does the same, unless a word "
    "of the shell has it too.",
    uses=(),
    examples=("rpc getblockhash 0", "rpc help getpeerinfo"),
    arguments=[
        Argument("method", "the command", completion="method"),
        Argument("argument", "its arguments, each read by the type that the command declares", True, True, True),
    ],
)
def rpc(shell: Session, given: Given) -> Result:
    method = given.arguments["method"]
    answer = shell.remote.call_words(method, given.rest)
    return Result(answer, lambda: format_result(answer) or json.dumps(answer))
