"""``kill -9`` at any moment of a synchronisation costs nothing that was reported; signals and ``stop`` end it well."""

import random
import re
import signal
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from ccnode.admin.client import NotRunning
from ccnode.chain.networks import get_params
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import AddrV2, TimedAddress
from ccnode.wire.keepalive import Ping, Pong
from tests.integration.test_integration_sync import MAINNET_TIP, mainnet_headers
from tests.support.hostile import Flooder, Pacer, frame
from tests.support.process import NodeProcess
from tests.support.scripted import MAINNET_MAGIC, REGTEST_MAGIC, Link, wait_until

LONGEST_LIFE = 1.6
"""Seconds from the start to the kill, at most: some two thirds of it are start-up, which is worth killing too."""

PAUSE = 0.12
"""Seconds per batch of 2000: the whole chain takes four seconds."""

STOP_SECONDS = 10.0


def live_and_die(node: NodeProcess, seconds: float) -> int:
    """Watch the node for so long, then kill it; returns the greatest height it reported, -1 for none."""
    reported = -1
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            reported = max(reported, node.rpc("getblockcount"))
        except (NotRunning, OSError):
            time.sleep(0.005)
    node.kill()
    return reported


def heights_at_start(node: NodeProcess) -> list[int]:
    """What each start that got so far had loaded, in order."""
    return [int(height) for height in re.findall(r"started at height (\d+)", node.text())]


def kill_many_times(data_dir: Path, folder: Path, kills: int, seed: int) -> None:
    headers = mainnet_headers(data_dir)
    rng = random.Random(seed)
    with Pacer(headers, get_params("mainnet").genesis, MAINNET_MAGIC, PAUSE) as peer:
        arguments = (f"--connect={peer.target}", "--minimumchainwork=0")
        killed = rounds = 0
        while killed < kills:
            rounds += 1
            with NodeProcess(folder / str(rounds), *arguments, chain="mainnet", wait=False) as node:
                reported = -1
                while killed < kills and reported < len(headers):
                    starts = len(heights_at_start(node))
                    seen = live_and_die(node, rng.uniform(0.05, LONGEST_LIFE))
                    killed += 1
                    loaded = heights_at_start(node)[starts:]
                    assert not loaded or loaded[0] >= reported, f"seed {seed}, kill {killed}: lost headers"
                    reported = max(reported, seen)
                    node.restart(wait=False)
                node.wait_ready()
                assert node.rpc("getblockcount") >= reported
                wait_until(lambda node=node: node.rpc("getblockcount") == len(headers), seconds=60)
                assert node.rpc("getbestblockhash") == MAINNET_TIP
                assert node.stop() == 0
                assert "Traceback" not in node.text()


def test_five_kills_lose_nothing(data_dir: Path, tmp_path: Path) -> None:
    kill_many_times(data_dir, tmp_path, kills=5, seed=1)


@pytest.mark.long
def test_fifty_kills_lose_nothing(data_dir: Path, tmp_path: Path) -> None:
    kill_many_times(data_dir, tmp_path, kills=50, seed=2)


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "stop"])
def test_a_stop_in_the_middle_of_a_synchronisation(data_dir: Path, tmp_path: Path, how: str) -> None:
    headers = mainnet_headers(data_dir)
    with (
        Pacer(headers, get_params("mainnet").genesis, MAINNET_MAGIC, PAUSE) as peer,
        NodeProcess(tmp_path, f"--connect={peer.target}", "--minimumchainwork=0", chain="mainnet") as node,
    ):
        height = wait_until(lambda: node.rpc("getblockcount"))
        assert height < len(headers)
        began = time.monotonic()
        if how == "stop":
            node.rpc("stop")
        else:
            node.process.send_signal(getattr(signal, how))
        assert node.process.wait(STOP_SECONDS) == 0, node.text()
        assert time.monotonic() - began < STOP_SECONDS
        assert "stopped at height" in node.text()
        node.restart()
        assert heights_at_start(node)[-1] >= height


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    """A peer that reads nothing delays a stop by the second that its last bytes are given."""
    with (
        NodeProcess(tmp_path) as node,
        Flooder(node.port, frame("ping", bytes(8)), drains=False),
    ):
        wait_until(lambda: node.rpc("getnodestats")["send_queue_bytes"] > 900_000)
        node.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "stopping" in node.text())
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(STOP_SECONDS) == 1
        assert "stopped at height" not in node.text()


# -- addresses ---------------------------------------------------------------------------------------------------------

SAVE_SECONDS = 1
SLACK_SECONDS = 0.5
"""For the timer and the database's worker, on a machine that does something else as well."""


def tell_and_die(node: NodeProcess, source: str, seconds: float, rng: random.Random) -> tuple[int, int]:
    """Feed the node addresses from ``source`` for so long, then kill it.

    Returns how many it knew at the end, and how many a save interval before that.
    """
    known: list[tuple[float, int]] = []
    sock = socket.create_connection(("127.0.0.1", node.port), timeout=20, source_address=(source, 0))
    with closing(Link(sock, REGTEST_MAGIC)) as link:
        link.handshake()
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            addresses = [NetworkAddress(Network.IPV4, bytes((20,)) + rng.randbytes(3), 8333) for _ in range(20)]
            now = int(time.time())
            link.send(AddrV2(tuple(TimedAddress(now - 3600, 9, address) for address in addresses)), Ping(5))
            link.expect(Pong)
            known.append((time.monotonic(), node.rpc("getnodestats")["addresses"]))
    node.kill()
    due = time.monotonic() - SAVE_SECONDS - SLACK_SECONDS
    return known[-1][1], max((count for at, count in known if at < due), default=0)


def kill_among_addresses(folder: Path, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    options = ["--allowunroutable", "--whitelist=addr@127.0.0.0/8", f"--addrsaveinterval={SAVE_SECONDS}"]
    with NodeProcess(folder, *options) as node:
        for kill in range(1, kills + 1):
            before = node.rpc("getnodestats")["addresses"]
            last, due = tell_and_die(node, f"127.{kill}.0.1", rng.uniform(1.7, 2.7), rng)
            node.restart()
            with closing(sqlite3.connect(node.folder / "node.sqlite")) as db:
                assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            after = node.rpc("getnodestats")["addresses"]
            assert before < due <= last, "nothing was tested"
            assert due <= after, f"seed {seed}: {due - after} addresses lost that should have been saved"
        assert node.stop() == 0
        assert "Traceback" not in node.text()


def test_a_kill_loses_no_addresses_but_those_of_the_last_save_interval(tmp_path: Path) -> None:
    kill_among_addresses(tmp_path, kills=2, seed=3)


@pytest.mark.long
def test_twenty_kills_lose_no_addresses_but_those_of_the_last_save_interval(tmp_path: Path) -> None:
    kill_among_addresses(tmp_path, kills=20, seed=4)
