"""``kill -9`` while blocks are connected, reorganised, written or pruned: each start recovers alone, to the same coins.

The node follows a peer that leaves its branch for a better one again and again. Its cache and its block files are
small, so that what is rare in life happens all the time. It is killed soon after the log has told of one thing or the
other, and how the log ends tells what it was doing when it died.
"""

import contextlib
import random
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from ccnode.admin.client import NotRunning
from ccnode.errors import RpcError
from ccnode.wire.headers import Headers
from ccnode.wire.inventory import GetData
from ccnode.wire.message import Message
from tests.support.block_peer import HEADER_SIZE, BlockPeer
from tests.support.chain_maker import SPACING, ChainMaker, sha256d
from tests.support.data import ROOT
from tests.support.lossy import lose_power
from tests.support.process import NodeProcess
from tests.support.scripted import Link, wait_until

pytest.importorskip("pbk", reason="py-bitcoinkernel is not installed: pip install ccnode[blocks]")

ARGUMENTS = ("--sync=blocks", "--dbcache=1", "--prune=1", "--fastprune", "--par=1", "--debug=chain", "--debug=storage")

TRUNK = 300
"""Blocks before the first reorganisation: with fewer than 288 nothing may be pruned."""

PATIENCE = 3.0
"""Seconds a node may live without doing what it is to be killed at."""

MARKS = {
    "connecting": "] connected block",
    "reorganising": "] disconnected block",
    "flushing": "] writing ",
    "pruning": "] deleting block files",
}
"""What the log says when it begins."""


@dataclass(frozen=True, slots=True)
class Stages:
    """Chains that a peer has one after another, each with more work than the one before."""

    chains: Sequence[Sequence[bytes]]

    @property
    def tip(self) -> str:
        return sha256d(self.chains[-1][-1][:HEADER_SIZE])[::-1].hex()


@cache
def stages(rounds: int) -> Stages:
    """Each round, a branch of 8 blocks loses to one of 20."""
    now = int(time.time())
    maker = ChainMaker(start=now - 3600 - (TRUNK + 20 * rounds) * SPACING)
    maker.extend(110, spends=0)
    maker.extend(TRUNK - 110, spends=1, fan_out=12)
    chains = []
    for _ in range(rounds):
        losing = maker.clone()
        losing.extend(8, spends=10, fan_out=12, extra_nonce=1)
        maker.extend(20, spends=10, fan_out=12)
        chains += [losing.blocks, list(maker.blocks)]
    return Stages(chains)


class RestlessPeer(BlockPeer):
    """Goes on to its next chain as soon as it has given the last block of one."""

    def __init__(self, stages: Stages) -> None:
        self._coming = list(stages.chains[1:])
        super().__init__(stages.chains[0])

    def handle(self, link: Link, message: Message) -> None:
        super().handle(link, message)
        wanted = {item.hash for item in message.items()} if isinstance(message, GetData) else set()
        if self.tip_hash in wanted and self._coming:
            known = set(self.headers)
            self.set_blocks(self._coming.pop(0))
            link.send(Headers.build([header for header in self.headers if header not in known]))


@dataclass(slots=True)
class Tally:
    """What nodes were doing when they were killed."""

    seed: int
    kills: int = 0
    doing: Counter[str] = field(default_factory=Counter)

    def note(self, lines: str) -> None:
        self.kills += 1
        self.doing.update(last_doing(lines))


def last_doing(lines: str) -> set[str]:
    """What a node was in the middle of where its log ends."""
    if "started at height" not in lines:
        return {"starting"}
    doing = set()
    flushing = pruning = False
    connected = False
    left = 0
    for line in lines.splitlines():
        if "] writing " in line or "] wrote the coins" in line:
            flushing = "] writing " in line
        elif "] deleting block files" in line or "] deleted " in line:
            pruning = "] deleting" in line
        elif found := re.search(r"\] (dis)?connected block [0-9a-f]{64} at height (\d+)", line):
            connected = True
            height = int(found[2])
            if found[1]:
                left = max(left, height)
            elif height > left:
                left = 0
    if flushing:
        doing.add("flushing")
    if pruning:
        doing.add("pruning")
    if left:
        doing.add("reorganising")
    if connected and not doing:
        doing.add("connecting")
    return doing or {"nothing yet"}


def log_since(node: NodeProcess, mark: int) -> str:
    path = node.folder / "debug.log"
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(mark)
        return file.read().decode(errors="replace")


def log_size(node: NodeProcess) -> int:
    path = node.folder / "debug.log"
    return path.stat().st_size if path.exists() else 0


@contextlib.contextmanager
def pruning(node: NodeProcess) -> Iterator[None]:
    """Somebody asks for old blocks to be deleted, again and again."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.1):
            with contextlib.suppress(NotRunning, OSError, RpcError):
                node.rpc("pruneblockchain", node.rpc("getblockcount") - 288)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def live_and_die(node: NodeProcess, mark: int, rng: random.Random) -> None:
    """Let a node that was just started live until it does something that was drawn, or for a time; and kill it."""
    wanted = rng.choice([*MARKS, *MARKS, "anything"])
    if wanted != "anything":
        wait_until(lambda: "started at height" in log_since(node, mark) or node.process.poll() is not None)
    end = time.monotonic() + (rng.uniform(0.1, 2.0) if wanted == "anything" else PATIENCE)
    times = rng.randint(1, 40 if wanted == "connecting" else 2)
    while time.monotonic() < end and node.process.poll() is None:
        if wanted != "anything" and log_since(node, mark).count(MARKS[wanted]) >= times:
            time.sleep(rng.uniform(0, 0.02))
            break
        time.sleep(0.001)
    assert node.process.poll() is None, f"it ended by itself: {node.text()}"
    node.kill()


def coins(node: NodeProcess) -> tuple[str, str]:
    """Of all unspent coins: where they are, and their hash."""
    info = node.rpc("gettxoutsetinfo", "muhash")
    return info["bestblock"], info["muhash"]


def tips(node: NodeProcess) -> dict[str, tuple[int, int, bool]]:
    """Where all branches end. How far a branch that lost was looked at depends on the moment."""
    found = node.rpc("getchaintips")
    assert {tip["status"] for tip in found} <= {"active", "valid-fork", "valid-headers", "headers-only"}
    return {tip["hash"]: (tip["height"], tip["branchlen"], tip["status"] == "active") for tip in found}


def finish(node: NodeProcess, tip: str) -> None:
    wait_until(lambda: node.rpc("getbestblockhash") == tip, 120)
    assert node.rpc("verifychain", 3, 20) is True


def kill_many_times(folder: Path, kills: int, rounds: int, seed: int) -> Tally:
    made = stages(rounds)
    with RestlessPeer(made) as peer, NodeProcess(folder / "whole", *ARGUMENTS, f"--connect={peer.target}") as node:
        finish(node, made.tip)
        expected, branches = coins(node), tips(node)
    rng = random.Random(seed)
    tally = Tally(seed)
    lives = 0
    while tally.kills < kills:
        lives += 1
        with (
            RestlessPeer(made) as peer,
            NodeProcess(folder / str(lives), *ARGUMENTS, f"--connect={peer.target}", wait=False) as node,
        ):
            mark = 0
            with pruning(node):
                while tally.kills < kills and made.tip not in log_since(node, 0):
                    live_and_die(node, mark, rng)
                    tally.note(log_since(node, mark))
                    mark = log_size(node)
                    node.restart(wait=False)
            node.wait_ready()
            finish(node, made.tip)
            where = f"seed {seed}, kill {tally.kills}"
            assert coins(node) == expected, where
            assert tips(node) == branches, where
            assert node.stop() == 0
            assert "Traceback" not in node.text(), node.text()
    print(f"seed {seed}: {tally.kills} kills in {lives} chains, {dict(tally.doing)}")
    return tally


def lose_power_many_times(folder: Path, times: int, rounds: int, seed: int) -> Tally:
    made = stages(rounds)
    with RestlessPeer(made) as peer, NodeProcess(folder / "whole", *ARGUMENTS, f"--connect={peer.target}") as node:
        finish(node, made.tip)
        expected = coins(node)
    rng = random.Random(seed)
    tally = Tally(seed)
    kept, place = folder / "kept", folder / "lossy"
    program = (sys.executable, str(ROOT / "tests/support/lossy.py"), str(kept))
    with RestlessPeer(made) as peer:
        for _ in range(times):
            with (
                NodeProcess(place, *ARGUMENTS, f"--connect={peer.target}", wait=False, program=program) as node,
                pruning(node),
            ):
                live_and_die(node, 0, rng)
            tally.note(log_since(node, 0))
            lose_power(node.folder, kept, rng)
        with NodeProcess(place, *ARGUMENTS, f"--connect={peer.target}") as node:
            finish(node, made.tip)
            assert coins(node) == expected, f"seed {seed}"
            assert node.stop() == 0
            assert "Traceback" not in node.text(), node.text()
    print(f"seed {seed}: {tally.kills} times without power, {dict(tally.doing)}")
    return tally


def test_four_kills_change_no_coin(tmp_path: Path) -> None:
    kill_many_times(tmp_path, kills=4, rounds=20, seed=1)


@pytest.mark.long
def test_a_hundred_kills_change_no_coin(tmp_path: Path) -> None:
    tally = kill_many_times(tmp_path, kills=100, rounds=60, seed=2)
    assert {*MARKS} <= {*tally.doing}, tally


def test_a_power_loss_changes_no_coin(tmp_path: Path) -> None:
    lose_power_many_times(tmp_path, times=2, rounds=20, seed=3)


@pytest.mark.long
def test_forty_power_losses_change_no_coin(tmp_path: Path) -> None:
    tally = lose_power_many_times(tmp_path, times=40, rounds=60, seed=4)
    assert {*MARKS} <= {*tally.doing}, tally
