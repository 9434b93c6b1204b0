"""Words about the active chain: its state, single headers, and stretches of them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text

from ccnode.admin.shell import units
from ccnode.admin.shell.plot import plot
from ccnode.admin.shell.tables import Column, facts, render
from ccnode.admin.shell.views import Argument, Given, Option, Result, Session, UsageError, view
from ccnode.admin.shell.words.sync import rate_text
from ccnode.errors import CcnodeError

Header = Mapping[str, Any]
"""One answer of getblockheader."""

LAST_HEADERS: Final = 20
"""Headers that ``headers`` shows."""

PLOTTED_HEADERS: Final = 2016
"""Headers that ``chain --plot`` goes back: two weeks of Bitcoin, and one period of difficulty."""

MAX_HEADERS: Final = 10_000
"""Rows of a table of headers: the most that the node gives at once."""

PLOT_WIDTH: Final = 200
"""Columns of a picture at most; of an output that is no terminal, too."""

PLOT_ROWS: Final = 6

_RANGE_HELP: Final = "heights: 100..120, 100.. up to the tip, ..100 from the first, or one of them"


@view(
    "chain",
    "Chain",
    help="Shows the chain that the node follows.\n"
    "With --plot the difficulty and the time between blocks are drawn, each point the mean of a few blocks.",
    uses=("getblockchaininfo", "getheadersyncinfo", "getnetworkhashps", "getblockheaders"),
    examples=("chain", "chain --plot", "chain --plot --range 0.."),
    options=[
        Option("plot", f"draw how it got there, over the last {PLOTTED_HEADERS} blocks"),
        Option("range", f"draw these {_RANGE_HELP}", "A..B", completion="height"),
    ],
)
def chain(shell: Session, given: Given) -> Result:
    info = shell.remote.call("getblockchaininfo")
    if given.has("plot") or given.has("range"):
        return _plotted(shell, info, given.get("range"))
    sync, rate = shell.remote.call("getheadersyncinfo"), shell.remote.call("getnetworkhashps")
    return Result({"blockchain": info, "sync": sync, "networkhashps": rate}, lambda: facts(_facts(info, sync, rate)))


def _facts(info: Mapping[str, Any], sync: Mapping[str, Any], rate: float) -> list[tuple[str, str]]:
    now = time.time()
    progress = "" if sync["percent"] >= 100 else f", {sync['percent']:.1f} %"
    progress += f" at {rate_text(sync)}" if progress and sync["rate"] else ""
    blocks, headers = units.number(info["blocks"]), units.number(info["headers"])
    work = int(info["chainwork"], 16)
    return [
        ("chain", info["chain"]),
        ("phase", sync["phase"] + progress),
        ("height", blocks if blocks == headers else f"{blocks}, with headers up to {headers}"),
        ("tip", info["bestblockhash"]),
        ("tip's time", f"{units.moment(info['time'])} UTC, {units.age(info['time'], now)} ago"),
        ("median time", f"{units.moment(info['mediantime'])} UTC, {units.age(info['mediantime'], now)} ago"),
        ("difficulty", f"{units.scaled(info['difficulty'])}, bits {info['bits']}"),
        ("hash rate", f"{units.scaled(rate, 'H/s')} over the last 120 blocks"),
        ("work", f"2^{log2(work):.2f} hashes"),
        ("on disk", units.size(info["size_on_disk"])),
        *(("warning", text) for text in info["warnings"]),
    ]


@dataclass(frozen=True, slots=True)
class Heights:
    """A stretch of the chain, both ends included."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str, tip: int) -> "Heights":
        """``100..120``, ``100..``, ``..120`` or ``100``. UsageError for anything else, and beyond the tip."""
        first, dots, last = text.partition("..")
        if not dots:
            last = first
        words = first or "0", last or str(tip)
        if not (first or last) or not all(word.isdecimal() for word in words):
            raise UsageError(f"'{text}' is no range; write {_RANGE_HELP}")
        found = cls(*map(int, words))
        if max(found.first, found.last) > tip:
            raise CcnodeError(f"the chain ends at height {tip:,}")
        if found.first > found.last:
            raise UsageError(f"{text} ends before it begins")
        return found

    def __len__(self) -> int:
        return self.last - self.first + 1


def _plotted(shell: Session, info: Mapping[str, Any], text: str | None) -> Result:
    """The history of difficulty and intervals, sampled as finely as there is room for."""
    tip = info["blocks"]
    # Not from the genesis, unless somebody asks: its time can be years before the others'.
    heights = Heights(max(1, tip - PLOTTED_HEADERS), tip) if text is None else Heights.parse(text, tip)
    if len(heights) < 2:
        raise CcnodeError("one block alone is no history to draw")
    width = min(shell.width, PLOT_WIDTH)
    step = -(-len(heights) // (2 * width))  # two points fit into a cell
    samples = shell.remote.call("getblockheaders", heights.first, MAX_HEADERS, True, step)
    samples = [each for each in samples if each["height"] <= heights.last]
    if samples[-1]["height"] < heights.last:
        samples += shell.remote.call("getblockheaders", heights.last)
    points = [
        {
            "height": after["height"],
            "time": after["time"],
            "difficulty": after["difficulty"],
            "interval": (after["time"] - before["time"]) / (after["height"] - before["height"]),
        }
        for before, after in pairwise(samples)
    ]
    return Result(points, lambda: _pictures(points, samples, step, width))


def _pictures(points: Sequence[Mapping[str, Any]], samples: Sequence[Header], step: int, width: int) -> RenderableType:
    first, last = samples[0], samples[-1]
    each = f", the mean of {step} blocks each" if step > 1 else ""
    difficulty = plot(
        [point["difficulty"] for point in points], width=width, height=PLOT_ROWS, label=lambda value: f"{value:.4g}"
    )
    interval = plot(
        [point["interval"] / 60 for point in points], width=width, height=PLOT_ROWS, label=lambda value: f"{value:.1f}"
    )
    mean = (last["time"] - first["time"]) / (last["height"] - first["height"])
    return Group(
        Text("difficulty", style="bold"),
        difficulty,
        Text.assemble(("minutes between blocks", "bold"), f"{each}; over all {mean / 60:.1f}"),
        interval,
        Text(
            f"heights {first['height']:,} to {last['height']:,}, "
            f"{units.moment(first['time'])} to {units.moment(last['time'])} UTC",
            style="dim",
        ),
    )


@view(
    "headers",
    "Chain",
    help=f"Lists headers of the active chain, without a range the last {LAST_HEADERS}.\n"
    "The interval is the time since the header before it in the list; with --step, for each of the blocks between.",
    uses=("getblockheaders", "getblockcount"),
    examples=("headers", "headers 100..120", "headers 0.. --step 2016", "headers 100..120 --json"),
    arguments=[Argument("range", _RANGE_HELP, optional=True, completion="height")],
    options=[Option("step", "only every so many heights", "N")],
)
def headers(shell: Session, given: Given) -> Result:
    tip, text, step = shell.remote.call("getblockcount"), given.get("range"), given.get("step") or "1"
    if not step.isdecimal() or int(step) == 0:
        raise UsageError(f"--step wants a number from 1 on, not '{step}'")
    heights = Heights(max(0, tip - LAST_HEADERS + 1), tip) if text is None else Heights.parse(text, tip)
    count = -(-len(heights) // int(step))
    if count > MAX_HEADERS:
        raise UsageError(f"these are {count:,} headers, of {MAX_HEADERS:,} at most; --step takes fewer")
    found = shell.remote.call("getblockheaders", heights.first, count, True, int(step))
    before = {after["height"]: before for before, after in pairwise(found)}
    return Result(found, lambda: render(_columns(before), found, width=shell.width))


def _columns(before: Mapping[int, Header]) -> list[Column[Header]]:
    """The columns of a list of headers; ``before`` has the one above in the list, by height."""

    def interval(header: Header) -> str:
        above = before.get(header["height"])
        if above is None:
            return ""
        return units.span((header["time"] - above["time"]) / (header["height"] - above["height"]))

    return [
        Column("height", lambda header: units.number(header["height"]), right=True, importance=9),
        Column("time (UTC)", lambda header: units.moment(header["time"]), importance=8),
        Column("interval", interval, right=True, importance=7),
        Column("difficulty", lambda header: units.scaled(header["difficulty"]), right=True, importance=6),
        Column("bits", lambda header: header["bits"], importance=5),
        Column("version", lambda header: header["versionHex"], importance=4),
        Column("hash", lambda header: header["hash"], importance=3),
    ]


@view(
    "block",
    "Chain",
    help="Shows the header of a block, named by its height on the active chain or by its hash on any branch.",
    uses=("getblockheader", "getblockhash"),
    examples=(
        "block 800000",
        "block 000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
        "block 0 --hex",
    ),
    arguments=[Argument("block", "height or hash", completion="blockhash")],
    options=[Option("hex", "print the bytes of the header")],
)
def block(shell: Session, given: Given) -> Result:
    name = given.arguments["block"].replace(",", "")
    block_hash = shell.remote.call("getblockhash", int(name)) if name.isdecimal() and len(name) < 64 else name
    if given.has("hex"):
        raw = shell.remote.call("getblockheader", block_hash, False)
        return Result(raw, lambda: raw)
    header = shell.remote.call("getblockheader", block_hash)
    previous = header.get("previousblockhash")
    before = shell.remote.call("getblockheader", previous) if previous else None
    return Result(header, lambda: facts(_block_facts(header, before, time.time())))


def _block_facts(header: Header, before: Header | None, now: float) -> list[tuple[str, str]]:
    count = header["confirmations"]
    interval = "" if before is None else f", {units.span(header['time'] - before['time'])} after the one before"
    return [
        ("hash", header["hash"]),
        ("height", units.number(header["height"])),
        ("confirmations", units.number(count) if count >= 0 else "none, it is not on the active chain"),
        ("time", f"{units.moment(header['time'])} UTC, {units.age(header['time'], now)} ago{interval}"),
        ("median time", f"{units.moment(header['mediantime'])} UTC"),
        ("version", f"{header['version']} (0x{header['versionHex']})"),
        ("merkle root", header["merkleroot"]),
        ("difficulty", f"{units.scaled(header['difficulty'])}, bits {header['bits']}"),
        ("target", header["target"]),
        ("nonce", units.number(header["nonce"])),
        *([("transactions", units.number(header["nTx"]))] if header["nTx"] else []),
        ("work", f"2^{log2(int(header['chainwork'], 16)):.2f} hashes up to here"),
        ("previous", header.get("previousblockhash", "none, it is the first")),
        ("next", header.get("nextblockhash", "none" if count >= 0 else "unknown")),
    ]
