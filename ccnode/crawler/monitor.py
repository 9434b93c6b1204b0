"""``monitor``: how blocks and transactions spread, heard at many peers at once, or at those of a running node.

Connections stay to ``--peers`` nodes of the latest census, or to those that ``--peer`` names, and what each announces
is noted with the moment at which its bytes were read (``propagation.py`` has what that means). With ``--node`` nothing
is dialed: a running ccnode tells what its peers announce, over its admin socket; transactions are not among that, for
the node does not want them.

Nothing is downloaded and nothing is passed on. Blocks come as ``headers``; with ``--compact`` peers send compact
blocks unasked, which they do before they have checked the block, so it measures arrival instead of acceptance, for
some 15 kB per block and peer. Of the transactions one in ``--sample`` is followed, drawn by its hash, so that all peers
and all monitors draw the same.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from gevent.event import Event
from rich.console import Console
from rich.table import Table

from ccnode.admin.client import call, find_socket, subscribe
from ccnode.chain.announcements import COMMANDS, announced_blocks, announced_items
from ccnode.clock import Clock
from ccnode.config import load_config
from ccnode.crawler.archive import Archive
from ccnode.crawler.listen import Ear, Interest, Listener
from ccnode.crawler.options import Options
from ccnode.crawler.parts import Parts
from ccnode.crawler.propagation import News, Propagation
from ccnode.crawler.sightings import GroupSpread, Listened, SightingStore, Summary, summarize
from ccnode.crawler.words import counted, plural
from ccnode.errors import ConfigError, ExitStatus, StartupError
from ccnode.network.hub import spawn
from ccnode.networks import network_params
from ccnode.rng import system_rng
from ccnode.runner import stop_on_signals
from ccnode.wire.address import NetworkAddress
from ccnode.wire.addresses import unpack_address
from ccnode.wire.factory import MessageFactory
from ccnode.wire.framing import Frame
from ccnode.wire.inventory import Inv

SETTLE_SECONDS: Final = 120.0
"""For which a block or a transaction is followed."""
MOST_BLOCKS: Final = 1_000
MOST_TRANSACTIONS: Final = 20_000
"""Followed at a time."""
LOOK_SECONDS: Final = 1.0
TOLD_BLOCKS: Final = 10
"""In the table of a summary."""

PEERS: Final = 32
SAMPLE: Final = 64


class Monitor:
    """Notes what is heard. It is the hearer of a `Listener`."""

    def __init__(self, parts: Parts, store: SightingStore, *, sample: int, settle: float, tell: "Teller") -> None:
        self._format = parts.params.header_format
        self._factory = MessageFactory(parts.params.header_format.size, parts.params.headers_carry_tx_count)
        self._clock: Clock = parts.clock
        self._store = store
        self._sample = sample
        self._tell = tell
        self._blocks = Propagation(settle, MOST_BLOCKS)
        self._transactions = Propagation(settle, MOST_TRANSACTIONS)
        self._names: dict[int, str] = {}
        self._stopping = Event()

    def stop(self) -> None:
        """End soon, with everything kept."""
        self._stopping.set()

    def run(self, seconds: float) -> None:
        """Until `stop`, at most for ``seconds``."""
        until = self._clock.steady() + seconds
        while not self._stopping.wait(min(LOOK_SECONDS, max(0.0, until - self._clock.steady()))):
            self._record(self._clock.steady())
            if self._clock.steady() >= until:
                break
        self._stopping.set()
        self._record(float("inf"))

    def _record(self, until: float) -> None:
        """Keep the news that is over by ``until``."""
        blocks, transactions = self._blocks.settled(until), self._transactions.settled(until)
        if blocks or transactions:
            offset = self._clock.now() - self._clock.steady()
            timed = [[(news, news.first + offset) for news in kind] for kind in (blocks, transactions)]
            needed = self._blocks.peers() | self._transactions.peers()
            self._store.record(timed[0], timed[1], needed)
            self._names = {peer: name for peer, name in self._names.items() if peer in needed}
        for news in blocks:
            self._tell.spread(news)

    # -- what is heard -------------------------------------------------------------------------------------------

    def attach(self, peer: int, listened: Listened) -> None:
        """From now on ``peer`` is listened to."""
        self._store.attached(peer, listened)
        self._names[peer] = listened.address
        self._blocks.attached(peer)
        self._transactions.attached(peer)
        self._tell.peer("attached", listened.address, listened.user_agent)

    def detach(self, peer: int) -> None:
        """``peer`` is gone."""
        self._blocks.detached(peer)
        self._transactions.detached(peer)
        self._store.detached(peer, self._clock.now())
        if not self._stopping.is_set():
            self._tell.peer("detached", self._names.get(peer, ""), "")

    def note_blocks(self, peer: int, hashes: Sequence[bytes], when: float, how: str) -> None:
        """``peer`` announced these blocks at ``when`` (steady seconds)."""
        for block_hash in hashes:
            if self._blocks.seen(peer, block_hash, when, how):
                self._tell.block(block_hash, self._names.get(peer, ""), how)

    def attached(self, ear: Ear) -> None:
        address = ear.address
        self.attach(ear.id, Listened(str(address), address.network.value, ear.user_agent, self._clock.now()))

    def detached(self, ear: Ear) -> None:
        self.detach(ear.id)

    def heard(self, ear: Ear, frame: Frame, when: float) -> None:
        if frame.command == Inv.command:
            blocks, transactions = announced_items(self._factory, frame.payload)
            for item in transactions:
                if self._sample and not int.from_bytes(item[:4], "little") % self._sample:
                    self._transactions.seen(ear.id, item, when, frame.command)
        elif frame.command in COMMANDS:
            blocks = announced_blocks(self._format, self._factory, frame.command, frame.payload)
        else:
            return
        self.note_blocks(ear.id, blocks, when, frame.command)


class Teller:
    """Says what happens: lines for people, or JSON."""

    def __init__(self, *, events: bool) -> None:
        self._events = events

    def peer(self, event: str, address: str, user_agent: str) -> None:
        """A peer came or went."""
        self._say(f"{event} {address} {user_agent}", event=event, address=address, user_agent=user_agent)

    def block(self, block_hash: bytes, address: str, how: str) -> None:
        """A block was announced for the first time."""
        name = block_hash[::-1].hex()
        self._say(f"block {name} first from {address} by {how}", event="block", hash=name, first=address, how=how)

    def spread(self, news: News) -> None:
        """A block is over."""
        name, spread = news.hash[::-1].hex(), news.percentiles()
        told = f"{len(news.sightings)} of {counted(len(news.listening), 'peer')}"
        figures = ", ".join(map(_seconds, spread))
        line = f"block {name} at half of the peers, at 90 % and at 99 % after {figures} ({told})"
        counts = {"attached": len(news.listening), "announced": len(news.sightings)}
        self._say(line, event="spread", hash=name, p50=spread[0], p90=spread[1], p99=spread[2], **counts)

    def _say(self, line: str, **fields: Any) -> None:
        if self._events:
            print(json.dumps({"time": round(time.time(), 3), **fields}), flush=True)
        else:
            print(f"{time.strftime('%H:%M:%S')}  {line}", flush=True)


# -- a running node --------------------------------------------------------------------------------------------------


def follow_node(monitor: Monitor, socket_path: Path, clock: Clock) -> None:
    """Note what the peers of the node behind an admin socket announce, until it goes away. NotRunning, RpcError."""
    attached: set[int] = set()
    with closing(subscribe(socket_path, ["peer", "message"], {"commands": list(COMMANDS)})) as events:
        for peer in _peers(call(socket_path, "getpeerinfo")):
            attached.add(peer["id"])
            monitor.attach(peer["id"], Listened(peer["addr"], peer["network"], peer["subver"], clock.now()))
        for event in events:
            if event["topic"] == "message" and event["direction"] == "in" and event["peer"] in attached:
                hashes = [bytes.fromhex(name)[::-1] for name in event.get("blocks", ())]
                when = clock.steady() - max(0.0, clock.now() - event["time"])
                monitor.note_blocks(event["peer"], hashes, when, event["command"])
            elif event["topic"] == "peer" and event["event"] == "handshaked" and event["id"] not in attached:
                attached.add(event["id"])
                listened = Listened(event["addr"], event["network"], event.get("subver", ""), clock.now())
                monitor.attach(event["id"], listened)
            elif event["topic"] == "peer" and event["event"] == "disconnected" and event["id"] in attached:
                attached.discard(event["id"])
                monitor.detach(event["id"])


def _peers(answer: object) -> Iterator[dict[str, Any]]:
    """The peers in an answer to ``getpeerinfo`` that have completed the handshake."""
    assert isinstance(answer, list)
    return (peer for peer in answer if peer["version"])


# -- the command -----------------------------------------------------------------------------------------------------


def monitor(arguments: Sequence[str]) -> int:
    """The command."""
    options, rest = _parser().parse_known_args(arguments)
    if options.summary:
        return _show(options, network_params(load_config(rest)).name)
    if options.peers < 1 or options.sample < 0 or options.settle <= 0:
        raise ConfigError("peers and settle must be above 0, sample 0 or more")
    wanted = Options(out=options.out, contact=options.contact)
    parts = Parts(wanted, load_config([*rest, *["--allowunroutable=1"] * options.allow_unroutable]))
    options.out.mkdir(parents=True, exist_ok=True)
    chain = f"{parts.params.name} {parts.params.magic.hex()}"
    with closing(SightingStore(_file(options.out, parts.params.name), chain)) as store:
        teller = Teller(events=options.json)
        watching = Monitor(parts, store, sample=options.sample, settle=options.settle, tell=teller)
        stop_on_signals(watching.stop)
        if options.node:
            task = spawn("node", follow_node, watching, find_socket(parts.config.folder), parts.clock)
            task.link(lambda _task: watching.stop())
            watching.run(options.max_time)
            if task.ready():
                task.get()  # raises what it died of
            task.kill()
            return ExitStatus.OK
        listener = _listener(parts, watching, options)
        try:
            watching.run(options.max_time)
        finally:
            listener.stop()
    return ExitStatus.OK


def _listener(parts: Parts, watching: Monitor, options: argparse.Namespace) -> Listener:
    """With a slot for each peer that was named, or for nodes of the census. StartupError if there is neither."""
    interests = {Interest.COMPACT_BLOCKS if options.compact else Interest.BLOCKS}
    if options.sample:
        interests.add(Interest.TRANSACTIONS)
    rng = system_rng()
    listener = Listener(
        parts.params,
        parts.routes,
        parts.clock,
        rng,
        watching,
        user_agent=parts.user_agent,
        interests=frozenset(interests),
    )
    if options.peer:
        for key in parts.resolve(options.peer):
            listener.add_slot(_always(unpack_address(key)))
        return listener
    found = _reached(parts, options.out)
    for _ in range(min(options.peers, len(found))):
        listener.add_slot(lambda: rng.choice(found))
    return listener


def _always(address: NetworkAddress) -> Callable[[], NetworkAddress]:
    return lambda: address


def _reached(parts: Parts, folder: Path) -> list[NetworkAddress]:
    """Reachable nodes of the latest census, of networks that are reached from here. StartupError if there are none."""
    path = folder / f"{parts.params.name}.sqlite"
    if not path.is_file():
        raise StartupError(f"there is no census {path}: take one, or name peers by --peer", ExitStatus.CONFIG)
    with Archive(path) as archive:
        visits = archive.visits(archive.round().number)
        found = [each.visit.address for each in visits if each.visit.address.network in parts.lanes]
    if not found:
        raise StartupError(f"the latest census in {path} reached nobody: name peers by --peer", ExitStatus.CONFIG)
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="monitor.py",
        description="Records how blocks and transactions spread.",
        epilog="Options of the node are understood as well: -c FILE, --chain, --datadir, --proxy, --onion, --onlynet.",
        allow_abbrev=False,
    )
    parser.add_argument("--peer", action="append", default=[], metavar="HOST[:PORT]", help="listen to this one")
    parser.add_argument(
        "--peers", type=int, default=PEERS, metavar="N", help=f"of the census, without --peer ({PEERS})"
    )
    parser.add_argument("--node", action="store_true", help="listen to the peers of the running node of --datadir")
    parser.add_argument("--out", type=Path, default=Path("census"), metavar="DIR", help="where the census is (census)")
    parser.add_argument("--compact", action="store_true", help="have blocks come before the peers have checked them")
    parser.add_argument(
        "--sample", type=int, default=SAMPLE, metavar="N", help=f"follow one transaction in N, 0 for none ({SAMPLE})"
    )
    parser.add_argument(
        "--settle", type=float, default=SETTLE_SECONDS, metavar="SECONDS", help="follow each so long (120)"
    )
    parser.add_argument("--max-time", type=float, default=float("inf"), metavar="SECONDS", help="end then")
    parser.add_argument("--contact", metavar="TEXT", help="told to every node in the user agent")
    parser.add_argument("--allow-unroutable", action="store_true", help="private addresses too, for test networks")
    parser.add_argument("--summary", action="store_true", help="print what was recorded so far, and end")
    parser.add_argument("--json", action="store_true", help="events, or the summary, as JSON")
    return parser


def _file(folder: Path, chain: str) -> Path:
    return folder / f"{chain}-monitor.sqlite"


def _show(options: argparse.Namespace, chain: str) -> int:
    summary = summarize(_file(options.out, chain))
    if options.json:
        print(json.dumps(asdict(summary)))
        return ExitStatus.OK
    console = Console()
    for table in tables(summary):
        console.print(table, "")
    if not summary.blocks:
        console.print(f"No block was announced by enough peers so far; {summary.ignored} were by fewer.")
    return ExitStatus.OK


def tables(summary: Summary) -> list[Table]:
    """A summary for people; nothing about what was not heard of."""
    blocks = _table("Blocks", "block", "first from", "peers")
    for block in summary.blocks[:TOLD_BLOCKS]:
        count = f"{block.announced} of {block.attached}"
        blocks.add_row(f"…{block.hash[-16:]}", block.first, count, *map(_seconds, block.percentiles))
    blocks.caption = (
        f"{counted(len(summary.blocks), 'block')}; "
        f"{summary.ignored} more {plural(summary.ignored, 'was', 'were')} announced by too few"
    )
    shown = [blocks] if summary.blocks else []
    for title, groups in (("By network", summary.networks), ("By program", summary.programs)):
        table = _table(title, title.split()[1], "peers", "announced")
        for group in groups:
            table.add_row(group.name, str(group.peers), _share(group), *map(_seconds, group.percentiles))
        if groups:
            shown.append(table)
    if summary.transactions:
        table = _table("Transactions", "", "sampled")
        table.add_row("the median one", str(summary.transactions), *map(_seconds, summary.transaction_percentiles))
        shown.append(table)
    return shown


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left", box=None, pad_edge=False)
    table.add_column(columns[0])
    for column in (*columns[1:], "50 %", "90 %", "99 %"):
        table.add_column(column, justify="right")
    return table


def _share(group: GroupSpread) -> str:
    return f"{100 * group.announced / group.attached:.0f} %"


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f} s"
