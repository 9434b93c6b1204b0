"""Words about the shell itself."""

import json
from collections.abc import Iterable
from difflib import get_close_matches

from ccnode.admin.client import format_result
from ccnode.admin.shell.views import VIEWS, Argument, Given, Result, Session, UsageError, passed, view

LEAVING = (("exit", "Leaves the shell (also: quit, Ctrl-D)."),)


@view(
    "help",
    "Shell",
    help="Lists the commands, or explains one.",
    uses=("describe", "help"),
    examples=("help", "help peers", "help getblockheader"),
    arguments=[Argument("command", "the command to explain", optional=True, completion="command")],
)
def help_(shell: Session, given: Given) -> Result:
    name = given.get("command")
    if name is None:
        return _overview(shell)
    found = VIEWS.find(name)
    if found is not None:
        return passed(found.help_text(), found.help_text())
    if name not in shell.remote.commands:
        names = [*(each.name for each in VIEWS), *shell.remote.commands]
        near = get_close_matches(name, names, n=3)
        raise UsageError(f"there is no command {name}" + (f"; did you mean {' or '.join(near)}?" if near else ""))
    text = shell.remote.call("help", name)
    return passed(text, text)


def _overview(shell: Session) -> Result:
    """The shell's words with their explanation, and the node's commands by name only: they are many."""
    commands = shell.remote.commands.values()
    words = {subject: [each for each in VIEWS if each.subject == subject] for subject in _subjects()}
    data = {
        "words": {each.name: each.summary for each in VIEWS},
        "commands": {each["name"]: each["summary"] for each in commands},
    }
    wide = max(len(each.name) for each in VIEWS)
    blocks = [
        "\n".join([subject, *(f"  {each.name:<{wide}}  {each.summary}" for each in group)])
        for subject, group in words.items()
    ]
    blocks[-1] += "".join(f"\n  {name:<{wide}}  {text}" for name, text in LEAVING)
    by_category: dict[str, list[str]] = {}
    for each in commands:
        if each["category"] != "hidden":
            by_category.setdefault(each["category"], []).append(each["name"])
    lines = [f"  {category}: {' '.join(names)}" for category, names in sorted(by_category.items())]
    blocks.append("\n".join(["Commands of the node, with the arguments that `ccnode rpc` takes", *lines]))
    blocks.append("Every word takes --json. Output goes on with  | COMMAND  and  > FILE.")
    return passed(data, "\n\n".join(blocks))


def _subjects() -> Iterable[str]:
    """In the order in which they were declared, the shell's own last."""
    found = dict.fromkeys(each.subject for each in VIEWS)
    return [*(subject for subject in found if subject != "Shell"), "Shell"]


@view(
    "rpc",
    "Shell",
    help="Calls a command of the node by its name, as `ccnode rpc` does. The name alone does the same, unless a word "
    "of the shell has it too.",
    uses=(),
    examples=("rpc getblockhash 0", "rpc help getpeerinfo"),
    arguments=[
        Argument("method", "the command", completion="method"),
        Argument("argument", "its arguments, each read by the type that the command declares", True, many=True),
    ],
)
def rpc(shell: Session, given: Given) -> Result:
    method = given.arguments["method"]
    answer = shell.remote.call_words(method, given.rest)
    return Result(answer, lambda: format_result(answer) or json.dumps(answer))
