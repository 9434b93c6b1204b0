"""What may happen to the files of a node that keeps blocks: each time a sentence, a safe stop and a way out that works.

A case damages a copy of a sound data directory. The node has to refuse it, at the start or as soon as it comes upon it,
with the exit status and the sentence expected; then what the sentence says is done, and the coins have to be those from
before. The node has a peer, for what is really lost; how much it asks of it then tells whether it needed to.
"""

import contextlib
import os
import random
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ccnode.admin.client import NotRunning
from ccnode.errors import RpcError
from tests.support.block_peer import HEADER_SIZE, BlockPeer
from tests.support.chain_maker import SPACING, ChainMaker, sha256d
from tests.support.data import read_xz
from tests.support.disks import SmallDisk
from tests.support.process import NodeProcess
from tests.support.scripted import wait_until

pytest.importorskip("pbk", reason="py-bitcoinkernel is not installed: pip install ccnode[blocks]")

ARGUMENTS = ("--sync=blocks", "--dbcache=1", "--fastprune", "--par=1")
"""Four block files for the blocks of the sound directory, and three flushes."""

RUN = (sys.executable, "-m", "ccnode")
DEBUG = "--debug=chain"
PAGE = 4096
STOP_SECONDS = 10.0


def shown(block_hash: bytes) -> str:
    return block_hash[::-1].hex()


def coins(node: NodeProcess) -> str:
    return str(node.rpc("gettxoutsetinfo", "muhash")["muhash"])


def connect(peer: BlockPeer) -> str:
    return f"--connect={peer.target}"


def wait_tip(node: NodeProcess, block_hash: bytes, seconds: float = 30.0) -> None:
    wait_until(lambda: node.rpc("getbestblockhash") == shown(block_hash), seconds)


@dataclass(frozen=True, slots=True)
class Sound:
    """A data directory without a fault."""

    folder: Path
    maker: ChainMaker
    coins: str
    better: ChainMaker
    """Another chain, which leaves ours after 100 blocks and would be followed."""

    def copy(self, to: Path) -> Path:
        shutil.copytree(self.folder, to, dirs_exist_ok=True, ignore=shutil.ignore_patterns("output.txt"))
        return to / "regtest"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """320 blocks, and 5 of a branch that lost."""
    folder = tmp_path_factory.mktemp("sound")
    maker = ChainMaker(start=int(time.time()) - 3600 - 320 * SPACING)
    maker.extend(100, spends=0)
    better = maker.clone()
    better.extend(221, spends=0, extra_nonce=2)
    maker.extend(200, spends=6, fan_out=12)
    losing = maker.clone()
    losing.extend(5, extra_nonce=1)
    maker.extend(20)
    with BlockPeer(losing.blocks) as peer, NodeProcess(folder, *ARGUMENTS, connect(peer)) as node:
        wait_tip(node, losing.hash)
        for raw in maker.blocks[300:]:
            node.rpc("submitblock", raw.hex())
        wait_tip(node, maker.hash)
        found = coins(node)
        assert node.stop() == 0
    return Sound(folder, maker, found, better)


# -- damage --------------------------------------------------------------------------------------------------------

Damage = Callable[[Path], None]


def removed(*names: str) -> Damage:
    def damage(folder: Path) -> None:
        for name in names:
            path = folder / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    return damage


def halved(name: str) -> Damage:
    return lambda folder: os.truncate(folder / name, (folder / name).stat().st_size // 2)


def flipped(name: str, count: int = 1) -> Damage:
    """Bytes in the middle of a file."""

    def damage(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        for i in range(len(data) // 2, len(data) // 2 + count):
            data[i] ^= 0xFF
        (folder / name).write_bytes(data)

    return damage


def garbled(first: int, last: int | None) -> Damage:
    """Pages of the store of coins."""

    def damage(folder: Path) -> None:
        path = folder / "chainstate/data.mdb"
        data = path.read_bytes()
        end = len(data) if last is None else last * PAGE
        garbage = random.Random(first).randbytes(end - first * PAGE)
        path.write_bytes(data[: first * PAGE] + garbage + data[end:])

    return damage


def another_key(folder: Path) -> None:
    (folder / "blocks/xor.dat").write_bytes(b"8 others")


def without_block_files(folder: Path) -> None:
    """What is to be done where the files cannot be read."""
    for pattern in "xor.dat", "blk*.dat", "rev*.dat":
        for path in (folder / "blocks").glob(pattern):
            path.unlink()


@dataclass(frozen=True, slots=True)
class Case:
    damage: Damage
    sentence: str
    at_start: bool = True
    """Otherwise it is met in a reorganisation."""
    lost: int = 0
    """Blocks that must come from a peer again, at most."""
    before: Damage = lambda _folder: None
    """What the sentence says to do besides --reindex."""


REINDEX = "start once with --reindex"

CASES = {
    "first-page-of-the-coins": Case(garbled(0, 1), f"chainstate is damaged .*; {REINDEX}"),
    "pages-of-the-coins": Case(garbled(2, None), f"chainstate is damaged .*; {REINDEX}"),
    "cut-coins": Case(halved("chainstate/data.mdb"), f"data.mdb was cut: .*; {REINDEX}"),
    "no-blocks-folder": Case(removed("blocks"), f"blk00000.dat is missing; .*{REINDEX}", lost=320),
    "no-headers": Case(removed("blocks/headers.dat"), f"has no header any more; {REINDEX}"),
    "no-block-file": Case(removed("blocks/blk00001.dat"), f"blk00001.dat is missing; .*{REINDEX}", lost=100),
    "cut-block-file": Case(halved("blocks/blk00001.dat"), f"blk00001.dat was cut: .*; {REINDEX}", lost=50),
    "no-undo-file": Case(removed("blocks/rev00001.dat"), f"rev00001.dat is missing; .*{REINDEX}"),
    "cut-undo-file": Case(halved("blocks/rev00002.dat"), f"rev00002.dat was cut: .*; {REINDEX}"),
    "another-key": Case(another_key, f"xor.dat is not the key .*{REINDEX}", lost=320, before=without_block_files),
    "no-key": Case(removed("blocks/xor.dat"), f"xor.dat .* key .*{REINDEX}", lost=320, before=without_block_files),
    "flipped-block": Case(flipped("blocks/blk00001.dat"), f"damaged in its file; {REINDEX}", at_start=False),
    "flipped-undo": Case(flipped("blocks/rev00001.dat", 8), f"rev00001.dat is damaged .*{REINDEX}", at_start=False),
}
QUICK = {"pages-of-the-coins", "flipped-block"}


@pytest.mark.parametrize(
    "case", [pytest.param(CASES[name], id=name, marks=() if name in QUICK else pytest.mark.long) for name in CASES]
)
def test_damage_is_told_and_what_is_told_helps(sound: Sound, tmp_path: Path, case: Case) -> None:
    folder = sound.copy(tmp_path)
    case.damage(folder)
    chain = sound.maker if case.at_start else sound.better
    with BlockPeer(chain.blocks) as peer, NodeProcess(tmp_path, *ARGUMENTS, connect(peer), wait=False) as node:
        assert node.process.wait(30) == (6 if case.at_start else 1), node.text()
        assert_one_sentence(node, case.sentence)
    case.before(folder)
    ours = {sha256d(raw[:HEADER_SIZE]) for raw in sound.maker.blocks}
    with BlockPeer(chain.blocks) as peer, NodeProcess(tmp_path, *ARGUMENTS, "--reindex", connect(peer)) as node:
        wait_tip(node, chain.hash)
        if case.at_start:
            assert coins(node) == sound.coins
        assert node.rpc("verifychain", 4, 20) is True
        assert len(ours.intersection(peer.asked)) <= case.lost
        assert node.stop() == 0


def assert_one_sentence(node: NodeProcess, sentence: str) -> None:
    lines = [line for line in node.text().splitlines() if re.search(sentence, line)]
    assert len(lines) == 1, node.text()
    assert "Traceback" not in node.text(), node.text()


def test_block_files_without_headers_and_coins_are_told_of(sound: Sound, tmp_path: Path) -> None:
    """The node takes it for a new directory, but for the files; only a person knows whether they are wanted."""
    folder = sound.copy(tmp_path)
    removed("blocks/headers.dat", "chainstate")(folder)
    with NodeProcess(tmp_path, *ARGUMENTS) as node:
        assert_one_sentence(node, "325 blocks without a header; --reindex would take them in")
        assert node.stop() == 0
        node.arguments += ("--reindex",)
        node.restart()
        wait_tip(node, sound.maker.hash)
        assert coins(node) == sound.coins


@pytest.mark.long
def test_coins_that_are_gone_are_made_again(sound: Sound, tmp_path: Path) -> None:
    removed("chainstate")(sound.copy(tmp_path))
    with NodeProcess(tmp_path, *ARGUMENTS) as node:
        wait_tip(node, sound.maker.hash)
        assert coins(node) == sound.coins


@pytest.mark.long
def test_another_network_s_coins_are_refused(sound: Sound, tmp_path: Path) -> None:
    folder = sound.copy(tmp_path)
    with NodeProcess(tmp_path, *ARGUMENTS, chain="signet") as other:
        assert other.stop() == 0
    shutil.rmtree(folder / "chainstate")
    shutil.copytree(tmp_path / "signet/chainstate", folder / "chainstate")
    with NodeProcess(tmp_path, *ARGUMENTS, wait=False) as node:
        assert node.process.wait(30) == 3
        assert_one_sentence(node, "the chain state is another network's; choose another datadir")


# -- the disk ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "size", "sentence"),
    [
        ("blocks", "250k", "cannot write to .*/blocks/.*: No space left on device; free space"),
        pytest.param(
            "chainstate", "700k", "cannot write to .*/chainstate: the disk is full; free space", marks=pytest.mark.long
        ),
    ],
)
def test_a_full_disk(sound: Sound, tmp_path: Path, where: str, size: str, sentence: str) -> None:
    with SmallDisk(tmp_path / "regtest" / where, size) as disk, BlockPeer(sound.maker.blocks) as peer:
        program = [*disk.prefix, *RUN]
        with NodeProcess(tmp_path, *ARGUMENTS, connect(peer), wait=False, program=program) as node:
            for lives in 1, 2:  # to start again without room does no harm
                assert node.process.wait(30) == 1, node.text()
                assert len(re.findall(f"the node stops: {sentence}", node.text())) == lives, node.text()
                if lives == 1:
                    node.restart(wait=False)
            disk.change("size=100m")
            node.restart()
            wait_tip(node, sound.maker.hash)
            assert coins(node) == sound.coins
            assert node.stop() == 0
            assert "Traceback" not in node.text(), node.text()


@pytest.mark.long
@pytest.mark.parametrize("where", ["blocks", "chainstate"])
def test_a_folder_that_cannot_be_written(sound: Sound, tmp_path: Path, where: str) -> None:
    with SmallDisk(tmp_path / "regtest" / where, "100m") as disk, BlockPeer(sound.maker.blocks) as peer:
        disk.change("ro")
        program = [*disk.prefix, *RUN]
        with NodeProcess(tmp_path, *ARGUMENTS, connect(peer), wait=False, program=program) as node:
            assert node.process.wait(30) == 3, node.text()
            assert_one_sentence(node, f"cannot .*/{where}.*: Read-only file system")
            disk.change("rw")
            node.restart()
            wait_tip(node, sound.maker.hash)
            assert coins(node) == sound.coins


# -- a stop in the middle ------------------------------------------------------------------------------------------


def stop_when(node: NodeProcess, line: str) -> int:
    """SIGTERM as soon as the log has such a line; the height at which the node has stopped."""
    log = node.folder / "debug.log"
    mark = len(log.read_bytes()) if log.exists() else 0
    wait_until(lambda: log.exists() and line.encode() in log.read_bytes()[mark:])
    began = time.monotonic()
    assert node.stop() == 0, node.text()
    assert time.monotonic() - began < STOP_SECONDS
    return int(re.findall(r"stopped at height (\d+)", node.text())[-1])


CONNECTING = "] connected block"


@pytest.mark.parametrize("option", ["--reindex", pytest.param("--reindex-chainstate", marks=pytest.mark.long)])
def test_a_reindex_that_was_stopped_goes_on(sound: Sound, tmp_path: Path, option: str) -> None:
    folder = sound.copy(tmp_path)
    (folder / "debug.log").unlink()
    with NodeProcess(tmp_path, *ARGUMENTS, DEBUG, option, wait=False) as node:
        assert stop_when(node, CONNECTING) < 320
        node.arguments = (*ARGUMENTS, DEBUG)
        node.restart()
        wait_tip(node, sound.maker.hash)
        assert coins(node) == sound.coins


@pytest.mark.parametrize("method", ["invalidateblock", pytest.param("reconsiderblock", marks=pytest.mark.long)])
def test_a_long_reorganisation_that_was_stopped_goes_on(sound: Sound, tmp_path: Path, method: str) -> None:
    sound.copy(tmp_path)
    bottom = shown(sha256d(sound.maker.blocks[0][:HEADER_SIZE]))
    with NodeProcess(tmp_path, *ARGUMENTS, DEBUG) as node:
        if method == "reconsiderblock":
            node.rpc("invalidateblock", bottom)

        def ask() -> None:
            with contextlib.suppress(RpcError, NotRunning, OSError):
                node.rpc(method, bottom)

        asking = threading.Thread(target=ask)
        mark = len(node.text())
        asking.start()
        stop_when(node, CONNECTING if method == "reconsiderblock" else "] disconnected block")
        asking.join()
        assert "[error]" not in node.text()[mark:], node.text()
        node.restart()
        node.rpc("reconsiderblock", bottom)
        wait_tip(node, sound.maker.hash)
        assert coins(node) == sound.coins


# -- blocks from files ---------------------------------------------------------------------------------------------


def test_a_node_s_own_block_files_are_imported(sound: Sound, tmp_path: Path) -> None:
    """They are obfuscated, and xor.dat is beside them. The import is stopped once, and asked for again."""
    files = sorted((sound.folder / "regtest/blocks").glob("blk*.dat"))
    assert len(files) > 3
    load = [f"--loadblock={path}" for path in files]
    with NodeProcess(tmp_path, *ARGUMENTS, DEBUG, *load, wait=False) as node:
        assert stop_when(node, CONNECTING) < 320
        node.restart()
        wait_tip(node, sound.maker.hash)
        assert coins(node) == sound.coins


def test_the_first_blocks_of_mainnet_are_imported(data_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "blocks.dat"
    path.write_bytes(read_xz(data_dir / "blocks/main_000000_000438.dat.xz"))
    options = "--sync=blocks", "--minimumchainwork=0", f"--loadblock={path}"
    with NodeProcess(tmp_path, *options, chain="mainnet") as node:
        wait_until(lambda: node.rpc("getblockcount") == 438)
        info = node.rpc("gettxoutsetinfo")
        assert (info["height"], info["total_amount"]) == (438, 438 * 50)
        wait_until(lambda: f"{path}: 438 blocks taken in" in node.text())
