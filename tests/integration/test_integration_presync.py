"""A chain without the minimum work is looked at, and nothing of it is stored; one that has it is.

The real first 32,260 headers of mainnet are such a chain: nobody who starts from nothing can tell them from an
attacker's until the work that follows has been seen.
"""

from pathlib import Path

from ccnode.chain.networks import get_params
from ccnode.chain.pow import block_proof
from ccnode.wire.headers import GetHeaders
from ccnode.wire.message import Message
from tests.integration.test_integration_sync import MAINNET_TIP, mainnet_headers
from tests.support.fakes import REGTEST_BITS, HeaderLine
from tests.support.hostile import Pacer
from tests.support.process import NodeProcess
from tests.support.scripted import MAINNET_MAGIC, HeaderPeer, Link, wait_until

PAUSE = 0.05
"""Seconds per batch: seventeen batches take long enough to be watched."""

GROWTH = 16_000_000
"""Bytes by which memory may grow: a message being decoded and the buffers of one synchronisation (0.8 MB)."""

DIFFICULTY_ONE = block_proof(0x1D00FFFF)


def test_nothing_of_a_low_work_chain_is_stored_and_progress_says_so(data_dir: Path, tmp_path: Path) -> None:
    headers = mainnet_headers(data_dir)
    with (
        Pacer(headers, get_params("mainnet").genesis, MAINNET_MAGIC, PAUSE) as peer,
        NodeProcess(tmp_path, chain="mainnet") as node,
    ):
        before = node.rpc("getnodestats")["memory"]["resident"]
        file_before = sum(path.stat().st_size for path in (tmp_path / "blocks").iterdir())
        node.rpc("addnode", peer.target, "add")
        during = wait_until(lambda: looked_at(node))
        assert during["phase"] == "presynchronizing headers"
        assert during["height"] == 0
        assert during["peers"][0]["presynced_headers"] >= during["presync_height"] > 0
        assert any(info["presynced_headers"] > 0 for info in node.rpc("getpeerinfo")) or not looked_at(node)

        after = wait_until(lambda: (info := node.rpc("getheadersyncinfo"))["low_work"] and info)
        assert after["phase"] == "peers have nothing newer"
        assert (node.rpc("getblockcount"), after["height"]) == (0, 0)
        assert "less work" in node.rpc("getblockchaininfo")["warnings"][0]
        assert node.rpc("getblockchaininfo")["initialblockdownload"] is True
        assert node.rpc("getnodestats")["headers"] == 1
        assert node.rpc("getnodestats")["memory"]["resident"] - before < GROWTH
        assert sum(path.stat().st_size for path in (tmp_path / "blocks").iterdir()) == file_before
        assert "low-work headers sync from height 0" in node.text()
        assert f"incomplete headers message at height={len(headers)} (presync phase)" in node.text()
        assert node.rpc("getpeerinfo")[0]["connection_type"] == "manual", "a short chain is no offence"


def looked_at(node: NodeProcess) -> dict | None:
    """The progress, once a presynchronisation is under way."""
    info = node.rpc("getheadersyncinfo")
    return info if info.get("presync_height") else None


def test_a_chain_that_shows_the_work_is_downloaded_twice_and_stored(data_dir: Path, tmp_path: Path) -> None:
    headers = mainnet_headers(data_dir)
    minimum = 25_000 * DIFFICULTY_ONE
    with (
        HeaderPeer(headers, get_params("mainnet").genesis, MAINNET_MAGIC) as peer,
        NodeProcess(tmp_path, f"--connect={peer.target}", f"--minimumchainwork={minimum:x}", chain="mainnet") as node,
    ):
        wait_until(lambda: node.rpc("getblockcount") == len(headers), seconds=60)
        assert node.rpc("getbestblockhash") == MAINNET_TIP
        assert len(peer.requests) >= 13 + len(headers) // 2000, "until the work is shown, then again from the start"
        assert node.rpc("getheadersyncinfo")["low_work"] is False


class Switcher(HeaderPeer):
    """Shows one chain until it had the minimum work, and then serves another one with as much."""

    def __init__(self, shown: HeaderLine, served: HeaderLine, switch_at: int) -> None:
        self._served = served
        self._switch_at = shown.hashes[switch_at]
        super().__init__(shown.headers[1:], shown.headers[0])

    def handle(self, link: Link, message: Message) -> None:
        if isinstance(message, GetHeaders) and message.locator[0] == self._switch_at:
            super().handle(link, message)
            self.set_chain(self._served.headers[1:], self._served.headers[0])
        else:
            super().handle(link, message)


def test_another_chain_than_the_one_that_was_shown_is_not_stored(tmp_path: Path) -> None:
    """Regtest commits to every 275th header and releases one after 7,017 more: 25 bits have to be guessed."""
    shown, other = HeaderLine().grow(20_000), HeaderLine().grow(20_000, salt=1)
    minimum = 18_000 * block_proof(REGTEST_BITS)
    with (
        Switcher(shown, other, switch_at=16_000) as peer,
        NodeProcess(tmp_path, f"--connect={peer.target}", f"--minimumchainwork={minimum:x}") as node,
    ):
        wait_until(lambda: "commitment mismatch" in node.text())
        assert node.rpc("getblockcount") == 0
        assert node.rpc("getnodestats")["headers"] == 1
