"""``ccnode demo``: two nodes and a growing chain in one terminal, without the internet.

One process runs two whole nodes on the regtest network, each with its own data directory and admin socket, connected
over loopback. The *miner* makes headers: regtest's proof of work takes two tries on average. The *follower* knows
nothing but the miner's address; it synchronises, hears of new blocks and reorganisations, and says how long each took
to arrive. What they do is what they do on a real network; only the mining is of the demo's own.

Ctrl-C ends it. Its files are in a temporary directory, which goes with it.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from gevent.event import Event

from ccnode.chain.formats import Header
from ccnode.chain.index import TipChanged
from ccnode.chain.params import ChainParams
from ccnode.chain.pow import meets_target
from ccnode.config import load_config
from ccnode.errors import ConfigError, ExitStatus
from ccnode.log import category_levels, setup_logging, shutdown_logging
from ccnode.network.hub import breathe, spawn
from ccnode.networks import network_params
from ccnode.node import Node
from ccnode.peers.traffic import tally_bytes
from ccnode.rng import system_rng
from ccnode.runner import SWITCH_INTERVAL, forget_closed_output, stop_on_signals
from ccnode.terminal import Status, shell_command
from ccnode.wire.headers import Headers

USAGE = """\
Usage:
    ccnode demo [--blocks=N] [--pause=SECONDS]

  --blocks=N         end after so many new blocks; without it, Ctrl-C ends the demo
  --pause=SECONDS    time between two blocks (default 2)
"""

FIRST_HEADERS = 10_000
"""Mined before the follower starts, so that there is something to catch up with."""

SPACING = 600
"""Seconds between the times written into those headers; the last one is from now."""

SLICE = 500
"""Headers mined before the nodes get a turn."""

BRANCH_EVERY = 3
"""Each so many steps the miner finds a better branch instead of a block."""

LOST, GAINED = 2, 3
"""Blocks that such a branch replaces, and that it has."""

SERVICES = 9
"""NETWORK and WITNESS. A node without blocks does not offer them on a real network; here nobody asks for one, and only
who offers them is asked for headers and announces blocks."""

PAUSE = 2.0
"""Seconds between two blocks, unless somebody wants it otherwise."""

PATIENCE = 30.0
"""Seconds for the follower to catch up."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for; ``blocks`` is None for no end."""

    blocks: int | None = None
    pause: float = PAUSE


def run_demo(arguments: Sequence[str]) -> int:
    """The demo from start to end; returns the exit status. ConfigError for arguments it does not know."""
    if set(arguments) & {"--help", "-help", "-h"}:
        print(USAGE, end="")
        return ExitStatus.OK
    options = parse_options(arguments)
    sys.setswitchinterval(SWITCH_INTERVAL)
    stop = Event()
    stop_on_signals(stop.set)
    with tempfile.TemporaryDirectory(prefix="ccnode-demo-") as folder:
        demo = Demo(Path(folder), options, stop)
        try:
            return demo.run()
        finally:
            demo.close()
            forget_closed_output()


def parse_options(arguments: Sequence[str]) -> Options:
    """ConfigError for what is no option of the demo."""
    blocks, pause = None, PAUSE
    for argument in arguments:
        key, _, value = argument.partition("=")
        try:
            if key == "--blocks":
                blocks = int(value)
            elif key == "--pause":
                pause = float(value)
            else:
                raise ConfigError(f"demo knows --blocks=N and --pause=SECONDS, not {argument!r}")
        except ValueError:
            raise ConfigError(f"'{key}' wants a number, not '{value}'") from None
    return Options(blocks, pause)


class Demo:
    """The two nodes and what is told about them."""

    def __init__(self, folder: Path, options: Options, stop: Event) -> None:
        self._folder = folder
        self._options = options
        self._stop = stop
        self._screen = Status(sys.stdout)
        self._closing = ExitStack()
        self._began = time.monotonic()
        self._arrived = Event()

    def close(self) -> None:
        """Stop both nodes."""
        self._closing.close()

    def run(self) -> ExitStatus:
        """Play until there is an end; FAULT if the follower does not follow."""
        setup_logging(category_levels(), file=self._folder / "debug.log")
        self._closing.callback(shutdown_logging)
        miner = self._start("miner", f"--services={SERVICES}", "--bind=127.0.0.1:0", "--connect=0")
        address = miner.network.listening[0]
        self._introduce(str(address))
        self._mine_first(miner)
        follower = self._start("follower", f"--connect={address}")
        follower.chain.subscribe(self._follower_moved)
        if not self._wait_same_tip(miner, follower):
            return self._end("the follower did not catch up")
        self._tell_caught_up(follower)
        self._invite(follower)
        return self._go_on(miner, follower)

    # -- the acts ------------------------------------------------------------------------------------------------

    def _start(self, name: str, *arguments: str) -> Node:
        config = load_config(["--chain=regtest", "--sync=headers", f"--datadir={self._folder / name}", *arguments])
        node = Node(config, network_params(config))
        self._closing.callback(node.close)
        node.open()
        node.start()
        spawn(f"end of {name}", node.wait).link(lambda _: self._stop.set())  # by command, from another terminal
        return node

    def _introduce(self, address: str) -> None:
        self._say(
            "Two nodes and a growing chain in this terminal. Nothing leaves this machine.\n\n"
            f"  miner      makes headers on regtest, and listens on {address}\n"
            "  follower   knows that address and nothing else\n"
            f"  files      {self._folder} (removed at the end)\n"
        )

    def _mine_first(self, miner: Node) -> None:
        now = int(miner.clock.now())
        for first in range(FIRST_HEADERS, 0, -SLICE):
            times = [now - left * SPACING for left in range(first - 1, first - 1 - SLICE, -1)]
            miner.chain.accept(mine(miner.params, miner.chain.index.hash(miner.chain.index.tip), times))
            breathe()
        self._tell(f"the miner has mined {FIRST_HEADERS:,} headers; now the follower starts and dials")

    def _tell_caught_up(self, follower: Node) -> None:
        peer = next(iter(follower.network.peers.values()))
        received = tally_bytes(peer.received_per_message).get(Headers.command, 0)
        self._tell(f"the follower caught up: height {follower.height():,}, {received:,} bytes of headers checked")

    def _invite(self, follower: Node) -> None:
        self._say(
            "\nBoth are ordinary nodes. Look inside from another terminal:\n\n"
            f"  {shell_command(follower.config).replace(' shell ', ' rpc ')} getpeerinfo\n"
            f"  {shell_command(follower.config)}\n\n"
            f"A new block every {self._options.pause:g} s, and now and then a better branch. Ctrl-C ends the demo.\n"
        )

    def _go_on(self, miner: Node, follower: Node) -> ExitStatus:
        step = 0
        while step != self._options.blocks and not self._stop.wait(self._options.pause):
            step += 1
            branch = step % BRANCH_EVERY == 0
            began = time.monotonic()
            if branch:
                extend(miner, back=LOST, count=GAINED)
            else:
                extend(miner, back=0, count=1)
            if not self._wait_same_tip(miner, follower):
                return self._end("the follower lost the miner's chain")
            what = f"reorganisation, {LOST} out {GAINED} in" if branch else "new block"
            tip = f"height {miner.height():,}  {tip_hash(miner)[::-1].hex()[:12]}...  {what:<26}"
            self._tell(f"{tip}  at the follower after {1000 * (time.monotonic() - began):.1f} ms")
        self._say("\nThe demo is over: both nodes stop, their files are removed.")
        return ExitStatus.OK

    def _end(self, why: str) -> ExitStatus:
        if self._stop.is_set():
            return ExitStatus.OK
        self._tell(f"{why} within {PATIENCE:g} s: that is a defect")
        return ExitStatus.FAULT

    # -- watching ------------------------------------------------------------------------------------------------

    def _follower_moved(self, _change: TipChanged) -> None:
        self._arrived.set()

    def _wait_same_tip(self, miner: Node, follower: Node) -> bool:
        """Whether the follower came to the miner's tip in time."""
        end = time.monotonic() + PATIENCE
        while tip_hash(follower) != tip_hash(miner):
            left = end - time.monotonic()
            if left < 0 or self._stop.is_set():
                return False
            self._arrived.wait(min(left, 0.5))
            self._arrived.clear()
        return True

    def _tell(self, text: str) -> None:
        self._say(f"[{time.monotonic() - self._began:5.1f} s] {text}")

    def _say(self, text: str) -> None:
        self._screen.say(text)


def tip_hash(node: Node) -> bytes:
    """The hash of a node's tip."""
    return node.chain.index.hash(node.chain.index.tip)


def extend(node: Node, *, back: int, count: int) -> None:
    """Have the node mine ``count`` headers above the one ``back`` below its tip."""
    index = node.chain.index
    parent = index.ancestor(index.tip, node.height() - back)
    now = int(node.clock.now())
    earliest = index.time(index.tip)  # after the median of the last eleven, whatever the clock says
    times = [max(now, earliest) + at for at in range(count)]
    node.chain.accept(mine(node.params, index.hash(parent), times))


def mine(params: ChainParams, parent: bytes, times: Sequence[int]) -> list[bytes]:
    """Headers with these times, one on the other, above the one with the hash ``parent``; regtest's difficulty."""
    genesis = params.header_format.parse(params.genesis)
    headers = []
    for stamp in times:
        raw, parent = _mine_one(params, genesis.bits, parent, stamp)
        headers.append(raw)
    return headers


def _mine_one(params: ChainParams, bits: int, parent: bytes, stamp: int) -> tuple[bytes, bytes]:
    merkle_root = system_rng().getrandbits(256).to_bytes(32, "little")
    nonce = 0
    while True:
        raw = params.header_format.serialize(Header(0x20000000, parent, merkle_root, stamp, bits, nonce))
        block_hash = params.header_format.hash(raw)
        if meets_target(block_hash, bits, params.pow_limit):
            return raw, block_hash
        nonce += 1
