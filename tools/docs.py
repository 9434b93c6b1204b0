#!/usr/bin/env python3
"""Writes ``docs/rpc.md`` and ``docs/shell.md`` from the declarations of the commands and of the shell's words.

::

    python tools/docs.py

What is written here by hand is what no declaration knows: how a command is called, and what a line of the shell is. A
test compares the files with what this would write.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ccnode.admin.commands import REGISTRY
from ccnode.admin.registry import HIDDEN, Arg, Command
from ccnode.admin.shell.session import LEAVING
from ccnode.admin.shell.views import VIEWS, View
from ccnode.admin.shell.words import load_words

Member = TypeVar("Member", Command, View)

MADE_BY = "<!-- Made by tools/docs.py; change the declarations instead. -->"

RPC_HEAD = f"""# Commands of the node

{MADE_BY}

Every command is called by its name, from a system shell or in the node's own:

```sh
ccnode rpc getblockheader 000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f false
ccnode shell -e "getblockcount"
```

and as JSON-RPC 2.0 on the unix socket `admin.sock` in the data directory, a request in a line and an answer in a line:

```json
{{"jsonrpc": "2.0", "id": 1, "method": "getblockhash", "params": [0]}}
{{"jsonrpc":"2.0","result":"000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f","id":1}}
```

With `server` the node answers the same over HTTP, as Bitcoin Core does ([README](../README.md)).

Parameters come by position, by name (`{{"height": 0}}`), or both (`{{"args": [0], "verbose": true}}`); `null` stands
for one that is left out. Names, arguments, results and the numbers of errors are Bitcoin Core's wherever Core has the
command. Whoever attaches with `--read-only` is refused the commands that are marked as changing the node.
"""

SHELL_HEAD = f"""# The shell

{MADE_BY}

`ccnode shell` attaches to the node that runs below the default data directory, or to the one that `-c`, `--chain`,
`--datadir` or `--socket` name. Several may be attached at once; the node does not notice. With `--read-only` nothing
can be changed. `ccnode shell -e COMMAND` runs one command and leaves, with status 1 if it failed; without a terminal
the commands are read from standard input, one in a line.

A line is a word of the shell's or a [command of the node's](rpc.md), then its arguments in the quoting of the system's
shell. `| COMMAND` gives the output to a program, `> FILE` and `>> FILE` write it, `#` begins a comment. JSON needs no
quotes, and an open quote or bracket goes on to the next line. Words show
tables in human units, of the width of the terminal; `--json` gives the exact answer. Long output is shown in pages.

Tab completes words, options and values, those as well that only the node knows. Ctrl-R searches the history, Ctrl-C
cancels, Ctrl-D or `{"` or `".join(LEAVING)}` leaves. The bottom line shows the chain, the peers and the traffic. When
the node stops, the shell says so, and goes on when it is back.
"""


def rpc() -> str:
    """The text of ``docs/rpc.md``."""
    categories = [*sorted({each.category for each in REGISTRY} - {HIDDEN}), HIDDEN]
    titles = {each: each.capitalize() for each in categories} | {HIDDEN: "For tests and tools"}
    sections = (
        _section(titles[category], sorted(_of(category), key=lambda each: each.name), _command)
        for category in categories
    )
    return _joined([RPC_HEAD, *chain.from_iterable(sections)])


def shell() -> str:
    """The text of ``docs/shell.md``."""
    load_words()
    subjects = dict.fromkeys(each.subject for each in VIEWS)
    sections = (  # not by the subject alone, which would have the same anchor as a word of that name
        _section(f"Subject: {subject}", [each for each in VIEWS if each.subject == subject], _word)
        for subject in subjects
    )
    return _joined([SHELL_HEAD, *chain.from_iterable(sections)])


DOCUMENTS = {"rpc.md": rpc, "shell.md": shell}


def _of(category: str) -> Iterable[Command]:
    return (each for each in REGISTRY if each.category == category)


def _section(title: str, members: Sequence[Member], explain: Callable[[Member], Iterator[str]]) -> Iterator[str]:
    """A heading, a list of what is in it, and then each."""
    yield f"## {title}"
    yield _table(("", ""), [(f"[`{each.name}`](#{each.name})", each.summary) for each in members])
    for each in members:
        yield from explain(each)


def _command(command: Command) -> Iterator[str]:
    yield f"### {command.name}"
    yield _code(command.usage())
    yield command.help + (" *Changes the node.*" if command.changes else "")
    if command.args:
        yield _table(("Argument", "", ""), [_argument(arg) for arg in command.args])
    yield f"Result:\n\n{_code(command.result)}"
    yield f"For example:\n\n{_code(f'ccnode rpc {command.name} {command.example}'.rstrip(), 'sh')}"


def _argument(arg: Arg) -> tuple[str, str, str]:
    return f"`{arg.name}`", arg.traits, arg.help


def _word(view: View) -> Iterator[str]:
    yield f"### {view.name}"
    yield _code(view.usage())
    first, _, rest = view.help.partition("\n")
    yield first
    if rest:
        yield _code(rest) if "\n  " in f"\n{rest}" else rest  # what is laid out stays so
    rows = [(f"`{each.name.upper()}`", each.help) for each in view.arguments]
    rows += [(f"`--{each.name}{' ' + each.value if each.value else ''}`", each.help) for each in view.options]
    yield _table(("", ""), rows)
    if view.uses:
        yield f"Asks the node: {', '.join(f'[`{name}`](rpc.md#{name})' for name in view.uses)}"
    yield "For example:\n\n" + _code("\n".join(view.examples))


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *([_escaped(cell) for cell in row] for row in rows))]
    lines.insert(1, "|" + "---|" * len(list(head)))
    return "\n".join(lines)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


def _code(text: str, language: str = "") -> str:
    return f"```{language}\n{text}\n```"


def _joined(blocks: Iterable[str]) -> str:
    return "\n\n".join(block.strip() for block in blocks) + "\n"


def main() -> None:
    for name, text in DOCUMENTS.items():
        (ROOT / "docs" / name).write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
