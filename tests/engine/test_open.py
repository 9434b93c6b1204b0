"""Everything on disk: what a start finds, and what it makes of it."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
import pytest

from ccnode.chain.headers import HeaderChain
from ccnode.chain.networks import MAINNET, REGTEST
from ccnode.engine.open import BlockOptions, OpenBlocks, open_blocks, script_threads
from ccnode.errors import StorageError
from tests.engine import feeder
from tests.support.chain_maker import ChainMaker
from tests.support.clock import ManualClock
from tests.support.data import read_xz
from tests.support.fakes import MemoryHeaderStore

pytest.importorskip("pbk", reason="py-bitcoinkernel is not installed: pip install ccnode[blocks]")


class Place:
    """A data directory that a node is started on again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.headers = MemoryHeaderStore()
        self.params = REGTEST
        self.faults: list[BaseException] = []
        self._open: list[OpenBlocks] = []

    def start(self, **options: Any) -> tuple[OpenBlocks, HeaderChain]:
        clock = ManualClock(1_790_000_000.0)
        chain = HeaderChain(self.params, self.headers, clock)
        chain.load()
        blocks = open_blocks(
            BlockOptions(par=1, **options),
            chain,
            self.folder,
            clock,
            sync_headers=lambda: None,
            on_fault=self.faults.append,
        )
        self._open.append(blocks)
        blocks.start()
        return blocks, chain

    def close(self) -> None:
        for blocks in self._open:
            blocks.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    with gevent.Timeout(60):
        yield made
        made.close()


def tip_of(blocks: OpenBlocks, chain: HeaderChain) -> bytes:
    """When all that is stored was looked at."""
    while blocks.engine.importing:
        gevent.sleep(0.002)
    blocks.engine.wait_do(blocks.engine.state.wait_activate)
    return chain.index.hash(chain.index.tip)


def submit_all(blocks: OpenBlocks, raws: Sequence[bytes]) -> None:
    for raw in raws:
        assert blocks.engine.wait_submit(raw).verdict is None


def coins_of(blocks: OpenBlocks) -> dict[bytes, bytes]:
    blocks.engine.wait_do(blocks.engine.state.wait_flush)
    return blocks.worker.wait_run(lambda: dict(blocks.store.coins()))


def grown(place: Place, height: int) -> tuple[ChainMaker, dict[bytes, bytes]]:
    maker = ChainMaker()
    blocks, chain = place.start()
    submit_all(blocks, maker.extend(height))
    assert tip_of(blocks, chain) == maker.hash
    coins = coins_of(blocks)
    blocks.close()
    return maker, coins


def test_a_start_goes_on(place: Place) -> None:
    maker, coins = grown(place, 120)
    blocks, chain = place.start()
    assert tip_of(blocks, chain) == maker.hash
    assert coins_of(blocks) == coins
    submit_all(blocks, maker.extend(5))
    assert tip_of(blocks, chain) == maker.hash
    assert place.faults == []


def test_the_genesis_block_is_stored(place: Place) -> None:
    blocks, _chain = place.start()
    position = blocks.engine.state.table.data_position(0)
    assert position is not None
    assert blocks.worker.wait_run(blocks.files.read, position)[:80] == REGTEST.genesis
    assert blocks.engine.state.table.chain_tx(0) == 1


def test_reindexing_the_coins(place: Place) -> None:
    maker, coins = grown(place, 120)
    blocks, chain = place.start(reindex_chainstate=True)
    assert tip_of(blocks, chain) == maker.hash
    assert coins_of(blocks) == coins


@pytest.mark.parametrize("headers_kept", [True, False])
def test_reindexing_everything(place: Place, headers_kept: bool) -> None:
    maker, coins = grown(place, 120)
    (place.folder / "chainstate/data.mdb").write_bytes(b"damaged" * 2000)
    if not headers_kept:
        place.headers = MemoryHeaderStore()
    blocks, chain = place.start(reindex=True)
    assert blocks.engine.importing
    assert tip_of(blocks, chain) == maker.hash
    assert coins_of(blocks) == coins
    assert blocks.engine.state.wait_verify(4, 0)
    submit_all(blocks, maker.extend(3))
    blocks.close()
    blocks, chain = place.start()
    assert not blocks.engine.importing
    assert tip_of(blocks, chain) == maker.hash


def test_an_interrupted_reindex_begins_again(place: Place) -> None:
    maker, coins = grown(place, 120)
    blocks, _chain = place.start(reindex=True)
    blocks.close()
    blocks, chain = place.start()
    assert tip_of(blocks, chain) == maker.hash
    assert coins_of(blocks) == coins


def test_a_damaged_store_says_what_to_do(place: Place) -> None:
    grown(place, 3)
    (place.folder / "chainstate/data.mdb").write_bytes(b"damaged" * 2000)
    with pytest.raises(StorageError, match="--reindex"):
        place.start()


def test_headers_that_are_gone(place: Place) -> None:
    grown(place, 3)
    place.headers = MemoryHeaderStore()
    with pytest.raises(StorageError, match="--reindex"):
        place.start()


def test_loading_core_s_file(place: Place, data_dir: Path, tmp_path: Path) -> None:
    place.params = replace(MAINNET, minimum_chain_work=0, assumevalid=None)
    path = tmp_path / "core.dat"
    path.write_bytes(read_xz(data_dir / "blocks/main_000000_000438.dat.xz"))
    blocks, chain = place.start(loadblock=[path])
    tip_of(blocks, chain)
    assert chain.index.height(chain.index.tip) == 438


def test_loading_blocks_in_any_order(place: Place, tmp_path: Path) -> None:
    maker = ChainMaker()
    made = maker.extend(60)
    random.Random(1).shuffle(made)
    path = tmp_path / "shuffled.dat"
    path.write_bytes(b"".join(REGTEST.magic + len(raw).to_bytes(4, "little") + raw for raw in made))
    blocks, chain = place.start(loadblock=[path])
    assert tip_of(blocks, chain) == maker.hash


def test_script_threads() -> None:
    assert script_threads(3) == 3
    assert script_threads(64) == 16
    assert script_threads(-64) == 1
    assert script_threads(0) >= 1


def run_until_killed(folder: Path, height: int, delay: float) -> bool:
    """Whether the feeder was done before it was killed."""
    command = [sys.executable, feeder.__file__, str(folder), str(height)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first == "open\n", first + process.stdout.read()
        try:
            rest, _ = process.communicate(timeout=delay)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            rest, _ = process.communicate()
    assert "fault" not in rest
    return "done" in rest


def kill_at_random(tmp_path: Path, height: int, kills: int, seed: int) -> None:
    """Kill it again and again; in the end the coins are those of a run that nobody disturbed."""
    rng = random.Random(seed)
    folder = tmp_path / "killed"
    folder.mkdir()
    finished = 0
    for _ in range(kills):
        finished += run_until_killed(folder, height, rng.uniform(0.0, 0.6))
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    for each in folder, undisturbed:
        while not run_until_killed(each, height, 120):
            pass
    coins = []
    for each in folder, undisturbed:
        blocks, chain = feeder.open_room(each)
        assert chain.index.height(tip_entry(blocks, chain)) >= height
        assert blocks.engine.wait_do(lambda opened=blocks: opened.engine.state.wait_verify(4, 20))
        coins.append((chain.index.hash(chain.index.tip), coins_of(blocks)))
        blocks.close()
    assert coins[0] == coins[1]
    assert finished < kills, "nothing was interrupted"


def tip_entry(blocks: OpenBlocks, chain: HeaderChain) -> int:
    tip_of(blocks, chain)
    return chain.index.tip


def test_killed_again_and_again(tmp_path: Path) -> None:
    kill_at_random(tmp_path, 400, 4, 1)


@pytest.mark.long
def test_killed_a_hundred_times(tmp_path: Path) -> None:
    kill_at_random(tmp_path, 2_000, 100, 2)
