"""The screen of ``top`` as lines of styled text.

A line is a list of pieces, each a style and a text, as prompt-toolkit takes them; together they are exactly as wide as
the terminal. Styles are classes, to which ``top.py`` gives colours. Without colours nothing is lost: the row under
the cursor is in reverse, headings are bold, what comes in and goes out has words.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap
from typing import Final

from rich.cells import cell_len, set_cell_size

from ccnode.admin.shell import units
from ccnode.admin.shell.plot import bars
from ccnode.admin.shell.screens.looks import LogLine, Look
from ccnode.admin.shell.screens.model import KEYS, Layout, Top
from ccnode.admin.shell.screens.peer_table import FIELDS, Field, Row, fit
from ccnode.admin.shell.screens.traffic import Traffic
from ccnode.admin.shell.words.peer import peer_facts

Piece = tuple[str, str]
Line = list[Piece]

HINTS: Final = "/ filter  s S sort  Enter inspect  d disconnect  b ban  p pause  h help  q quit"

PAGE_HINTS: Final = "Esc back  up down scroll  d disconnect  b ban  p pause"


def draw(top: Top) -> list[Line]:
    """All lines of the screen."""
    layout, width, hints = top.layout, top.columns, HINTS
    lines = _heading(top)
    if top.helping:
        body, hints = _scrolled([_pad([("", f" {line}")], width) for line in _help(width)], top)
    elif top.inspected is not None:
        body, hints = _scrolled(_inspection(top), top)
    else:
        body = _peers(top, layout)
        if layout.graph:
            body += _graphs(top, layout.graph)
        if layout.log:
            body += _log(top, layout.log)
    return [*[*lines, *body][: top.lines - 1], _bottom(top, hints)]


# -- what is always there --------------------------------------------------------------------------------------------


def _heading(top: Top) -> list[Line]:
    look, width = top.look, top.columns
    if look is None:
        text = f" no look at the node yet: {top.silence.reason}" if top.silence else " asking the node ..."
        return [_pad([("class:title", text)], width), _pad([], width), _pad([], width)]
    return [
        _with_end(_words(_chain_facts(look)), _state(top, look), width),
        _pad(_words(_node_facts(look)), width),
        _pad(_words(_address_facts(look)), width),
    ]


def _state(top: Top, look: Look) -> Line:
    """What one should know about the screen itself."""
    marks = []
    if top.table.filter:
        marks.append(f"{len(top.table.rows)} with {top.table.filter}")
    if top.silence is not None:
        marks.append(f"no answer for {units.age(look.time, time.time())}")
    if top.paused:
        marks.append("paused")
    return [("class:alarm", f" {mark} ") for mark in marks]


def _chain_facts(look: Look) -> Iterable[tuple[str, str]]:
    """Pairs of a name and what stands beside it."""
    sync = look.sync
    yield look.chain, ""
    yield "height", units.number(sync["height"])
    yield "tip", f"{units.age(sync['best_time'], look.time)} old"
    busy = sync["rate"] > 0 and sync["percent"] < 100
    yield sync["phase"], f"{sync['percent']:.1f} % {sync['rate']:,.0f}/s" if busy else ""


def _node_facts(look: Look) -> Iterable[tuple[str, str]]:
    stats = look.stats
    inbound = sum(peer["inbound"] for peer in look.peers)
    lag = stats["hub_lag"]
    yield "up", units.span(look.uptime)
    yield "peers", f"{len(look.peers) - inbound} out {inbound} in"
    yield "lag", f"{units.milliseconds(lag['p50'])} p99 {units.milliseconds(lag['p99'])}"
    yield "memory", units.size(stats["memory"]["resident"])


def _address_facts(look: Look) -> Iterable[tuple[str, str]]:
    new, tried = (look.stats["addrman"][table]["addresses"] for table in ("new", "tried"))
    yield "addresses", f"{new['all_networks']:,} new {tried['all_networks']:,} tried"
    for network in new:
        if network != "all_networks" and new[network] + tried[network]:
            yield network, units.number(new[network] + tried[network])


def _words(pairs: Iterable[tuple[str, str]]) -> Line:
    line: Line = []
    for name, value in pairs:
        line += [("", " "), ("" if value else "class:title", name), ("", " "), ("class:title", value), ("", " ")]
    return line


def _bottom(top: Top, hints: str) -> Line:
    question = top.question
    if question is not None:
        cursor = [("class:cursor", " ")] if question.line else []
        return _pad([("class:question", f" {question.text} "), ("", question.typed), *cursor], top.columns)
    if top.message:
        return _pad([("class:question", f" {top.message}")], top.columns)
    return _pad([("class:hint", f" {hints}")], top.columns)


# -- the connections -------------------------------------------------------------------------------------------------


def _peers(top: Top, layout: Layout) -> list[Line]:
    table, width = top.table, top.columns
    fields = fit(FIELDS, table.rows, width)
    sort = table.sort.removeprefix("-")
    head: Line = []
    for each, wide in fields:
        is_key = each.name == sort
        name = each.name + ("▴" if table.ascending else "▾") * is_key
        style = "class:head class:sorted" if is_key else "class:head"
        head += [(style, _cell(name, wide, right=each.right)), ("class:head", " ")]
    selected = table.selected
    rows = [_row(row, fields, width, row is selected, top.silence is not None) for row in table.visible(layout.peers)]
    if not rows and top.look is not None:
        text = f"no connection with {table.filter}" if table.filter else "no connections"
        rows.append(_pad([("class:dim", f" {text}")], width))
    rows += [_pad([], width) for _ in range(layout.peers - len(rows))]
    return [_pad(head, width, "class:head"), *rows]


def _row(row: Row, fields: Sequence[tuple[Field, int]], width: int, selected: bool, stale: bool) -> Line:
    text = " ".join(_cell(each.cell(row), wide, right=each.right) for each, wide in fields)
    direction = "class:in" if row.peer["inbound"] else "class:out"
    style = "class:selected" if selected else "class:dim" if stale else direction
    return _pad([(style, text)], width, style if selected else "")


def _cell(text: str, width: int, *, right: bool) -> str:
    if cell_len(text) > width:
        return set_cell_size(text, width - 1) + "…"
    return text.rjust(width) if right else set_cell_size(text, width)


# -- traffic, log ----------------------------------------------------------------------------------------------------


def _graphs(top: Top, height: int) -> list[Line]:
    """Received on the left, sent on the right, each to its own scale."""
    left = top.columns // 2
    halves = [
        _graph("received", "class:in", top.received, left, height),
        _graph("sent", "class:out", top.sent, top.columns - left, height),
    ]
    return [[*one, *other] for one, other in zip(*halves, strict=True)]


def _graph(name: str, style: str, traffic: Traffic, width: int, height: int) -> list[Line]:
    rates = list(traffic.rates)[-width + 1 :]
    peak = f", at most {units.rate(max(*rates, traffic.now or 0.0))}" if rates else ""
    title = _pad([("class:title", f" {name} {units.rate(traffic.now)}"), ("", peak)], width)
    return [title, *(_pad([("", " "), (style, line)], width) for line in bars(rates, width=width - 1, height=height))]


def _log(top: Top, height: int) -> list[Line]:
    lines = [_pad([("class:head", " log")], top.columns, "class:head")]
    lines += [_log_line(each, top.columns) for each in list(top.log)[-height:]]
    return lines + [_pad([], top.columns) for _ in range(height + 1 - len(lines))]


def _log_line(line: LogLine, width: int) -> Line:
    clock = time.strftime("%H:%M:%S", time.localtime(line.time))
    category = f"[{line.category}] " if line.category else ""
    style = {"warning": "class:warning", "error": "class:error", "critical": "class:error"}.get(line.level, "")
    return _pad([("class:dim", f" {clock} "), (style, f"{category}{line.text}")], width)


# -- one connection; help --------------------------------------------------------------------------------------------


def _inspection(top: Top) -> list[Line]:
    assert top.inspected is not None
    row = top.table.find(top.inspected)
    if row is None:
        return [_pad([("class:title", f" peer {top.inspected} has gone")], top.columns)]
    facts = _facts(row)
    wide = max(len(name) for name, _ in facts) + 2
    lines = []
    for name, value in facts:
        for number, part in enumerate(_wrapped(value, top.columns - wide - 1)):
            lines.append(_pad([("class:dim", f" {'' if number else name:<{wide}}"), ("", part)], top.columns))
    return lines


def _facts(row: Row) -> list[tuple[str, str]]:
    peer = row.peer
    return [
        *peer_facts(peer, peer["conntime"] + row.age),
        ("at present", f"{units.rate(row.sent)} sent, {units.rate(row.received)} received"),
        ("messages to it", _tally(peer["msgssent_per_msg"], peer["bytessent_per_msg"])),
        ("from it", _tally(peer["msgsrecv_per_msg"], peer["bytesrecv_per_msg"])),
    ]


def _tally(counts: Mapping[str, int], sizes: Mapping[str, int]) -> str:
    by_count = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{count:,} {name} ({units.size(sizes.get(name))})" for name, count in by_count) or units.NOTHING


def _wrapped(text: str, width: int) -> list[str]:
    return wrap(text, max(10, width)) or [""]


def _help(width: int) -> list[str]:
    wide = max(len(keys) for keys, _ in KEYS) + 2
    lines = [""]
    for keys, text in KEYS:
        parts = _wrapped(text, width - wide - 2)
        lines += [f"{keys if not number else '':<{wide}}{part}" for number, part in enumerate(parts)]
    rates = "Rates are means of the last seconds. The graphs show minutes, each to a scale of its own."
    return [*lines, "", *_wrapped(rates, width - 2)]


def _scrolled(lines: list[Line], top: Top) -> tuple[list[Line], str]:
    """The part that fits between heading and bottom line, and hints that say how many lines are below it."""
    room = top.lines - 4
    top.scrolled = max(0, min(top.scrolled, len(lines) - room))
    shown = lines[top.scrolled : top.scrolled + room]
    below = len(lines) - top.scrolled - len(shown)
    hints = f"{below} more below: down  {PAGE_HINTS}" if below else PAGE_HINTS
    return shown + [_pad([], top.columns) for _ in range(room - len(shown))], hints


# -- pieces ----------------------------------------------------------------------------------------------------------


def _pad(pieces: Line, width: int, style: str = "") -> Line:
    """Exactly ``width`` cells; what is too long ends in an ellipsis."""
    line: Line = []
    left = width
    for kind, text in pieces:
        if left:
            shown = text if cell_len(text) <= left else _cell(text, left, right=False)
            line.append((kind, shown))
            left -= cell_len(shown)
    return [*line, (style, " " * left)]


def _with_end(pieces: Line, end: Line, width: int) -> Line:
    """``pieces`` on the left, ``end`` on the right, which has the right of way."""
    room = sum(cell_len(text) for _, text in end)
    return [*_pad(pieces, max(0, width - room)), *end]
