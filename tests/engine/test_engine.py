"""The chain state's greenlet: who waits for what."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest

from ccnode.chain.ports import Worker
from ccnode.chain.preparation import PreparedBlock
from ccnode.chain.verdict import BlockVerdict, ValidationResult
from ccnode.engine import engine as engine_module
from ccnode.engine.engine import BlockEngine
from ccnode.engine.workers import ThreadWorker
from ccnode.errors import DecodeError, StorageError
from tests.support.chain_maker import ChainMaker
from tests.support.chainstate import ChainRoom
from tests.support.clock import ManualClock


class Held:
    """A verifier whose verdicts wait until `release`."""

    def __init__(self) -> None:
        self.gate = gevent.event.Event()
        self.gate.set()
        self.waiting = 0

    def wait_verify(self, *_: object) -> None:
        self.waiting += 1
        self.gate.wait()

    def wait_verify_transaction(self, *_: object) -> None:
        return None

    def passes(self, _block: object) -> bool:
        return False


class EngineRoom(ChainRoom):
    """A chain state with its greenlet running."""

    def __init__(self, directory: Path) -> None:
        self.held = Held()
        super().__init__(directory, scripts=self.held, clock=ManualClock())
        self.faults: list[BaseException] = []
        self.engine = BlockEngine(self.state, self.clock, self.faults.append)
        self.engine.start()
        self.maker = ChainMaker()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[EngineRoom]:
    built = EngineRoom(tmp_path)
    with gevent.Timeout(20):
        yield built
        built.held.gate.set()
        built.engine.wait_close()
    built.files.close()


def eventually(condition: Callable[[], bool]) -> None:
    while not condition():
        gevent.sleep(0.001)


def test_a_submitter_does_not_wait_for_scripts(room: EngineRoom) -> None:
    room.held.gate.clear()
    assert room.engine.wait_submit(room.maker.block()).new
    eventually(lambda: room.held.waiting == 1)
    assert room.height == 0
    room.held.gate.set()
    eventually(lambda: room.height == 1)


def test_blocks_are_prepared_while_another_is_verified(room: EngineRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[bytes] = []
    prepare = room.state.wait_prepare

    def wait_prepare(raw: bytes, worker: Worker | None = None) -> PreparedBlock:
        prepared.append(raw)
        return prepare(raw, worker)

    monkeypatch.setattr(room.state, "wait_prepare", wait_prepare)
    blocks = room.maker.extend(9)
    room.held.gate.clear()
    room.engine.wait_submit(blocks[0])
    eventually(lambda: room.held.waiting == 1)
    others = [gevent.spawn(room.engine.wait_submit, raw) for raw in blocks[1:]]
    eventually(lambda: len(prepared) == 1 + engine_module.PREPARING)
    assert room.height == 0
    room.held.gate.set()
    gevent.joinall(others, raise_error=True)
    eventually(lambda: room.height == 9)


def test_submitters_wait_when_blocks_pile_up(room: EngineRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "PENDING_BYTES", 300)
    blocks = room.maker.extend(3)
    room.held.gate.clear()
    first = gevent.spawn(room.engine.wait_submit, blocks[0])
    first.join(1)
    assert first.ready()
    eventually(lambda: room.held.waiting == 1)
    second = gevent.spawn(room.engine.wait_submit, blocks[1])
    second.join(0.05)
    assert not second.ready()
    room.held.gate.set()
    second.join(5)
    assert second.ready()


def test_blocks_ahead_of_a_gap_do_not_pile_up(room: EngineRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "PENDING_BYTES", 300)
    blocks = room.maker.extend(6)
    room.chain.accept([raw[:80] for raw in blocks])
    for raw in blocks[1:]:
        assert room.engine.wait_submit(raw, source=7).new
    assert not room.engine.unsettled(7)
    room.engine.wait_submit(blocks[0])
    eventually(lambda: room.height == 6)


def test_what_a_source_submitted_is_settled_when_it_is_judged(room: EngineRoom) -> None:
    told: list[tuple[bytes, BlockVerdict | None, int | None]] = []
    room.state.on_block_checked(lambda *what: told.append(what))
    room.engine.wait_process(room.maker.block())
    bad = room.maker.clone()
    room.held.gate.clear()
    room.engine.wait_submit(room.maker.block(), source=7)
    gevent.spawn(room.engine.wait_submit, bad.block(fees=1, extra_nonce=1), source=8)
    assert room.engine.unsettled(7)
    room.engine.wait_settled(7, 0.02)
    assert room.engine.unsettled(7), "no longer than that"
    room.held.gate.set()
    room.engine.wait_settled(7, 10)
    room.engine.wait_settled(8, 10)
    assert not room.engine.unsettled(7)
    assert (room.maker.hash, None, 7) in told
    assert room.tip == room.maker.hash


def test_the_verdict_of_connecting_comes_with_its_source(room: EngineRoom) -> None:
    told: list[tuple[bytes, BlockVerdict | None, int | None]] = []
    room.state.on_block_checked(lambda *what: told.append(what))
    raw = room.maker.block(fees=1)
    room.engine.wait_submit(raw, source=3)
    room.engine.wait_settled(3, 10)
    ((block_hash, verdict, source),) = told
    assert (block_hash, source) == (room.maker.hash, 3)
    assert verdict is not None
    assert verdict.reason == "bad-cb-amount"


def test_processing_waits_for_the_verdict(room: EngineRoom) -> None:
    fork = room.maker.clone()
    result, checked = room.engine.wait_process(room.maker.block())
    assert (result.new, result.verdict, checked) == (True, None, True)
    assert room.height == 1
    again, checked = room.engine.wait_process(room.maker.blocks[-1])
    assert (again.new, again.verdict, checked) == (False, None, False)
    lost, checked = room.engine.wait_process(fork.block(extra_nonce=1))
    assert (lost.new, lost.verdict, checked) == (True, None, False), "not better than the tip, so not looked at"
    bad, checked = room.engine.wait_process(room.maker.block(fees=1))
    assert checked
    assert bad.verdict is not None
    assert bad.verdict.result is ValidationResult.CONSENSUS


def test_what_waited_for_a_block_is_settled_with_it(room: EngineRoom) -> None:
    """A peer's next message finds everything connected that its block made way for, as in Core."""
    blocks = [room.maker.block() for _ in range(60)]
    room.chain.accept([raw[:80] for raw in blocks])
    for raw in blocks[:0:-1]:
        room.engine.wait_submit(raw, source=4)
    assert not room.engine.unsettled(4), "they wait for others"
    room.engine.wait_submit(blocks[0], source=5)
    room.engine.wait_settled(5, 10)
    assert room.height == 60


def test_what_was_processed_is_in_the_files(room: EngineRoom) -> None:
    room.engine.wait_process(room.maker.block())
    room.engine.wait_process(room.maker.block())
    assert room.files.blocks_path(0).stat().st_size == room.files.infos[0].size


def test_processing_waits_for_what_waited(room: EngineRoom) -> None:
    blocks = [room.maker.block() for _ in range(60)]
    room.chain.accept([raw[:80] for raw in blocks])
    for raw in blocks[:0:-1]:
        room.engine.wait_process(raw)
    _, checked = room.engine.wait_process(blocks[0])
    assert (checked, room.height) == (True, 60)


def test_bytes_that_are_no_block(room: EngineRoom) -> None:
    with pytest.raises(DecodeError):
        room.engine.wait_submit(room.maker.block()[:-1], source=1)
    assert not room.engine.unsettled(1)


def test_a_block_is_not_taken_apart_if_its_header_tells_enough(
    room: EngineRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = room.maker.clone().block(extra_nonce=1)
    for raw in room.maker.extend(3):
        room.engine.wait_process(raw)
    monkeypatch.setattr(room.state, "wait_prepare", None)
    no_work = bytearray(room.maker.clone().block())
    while room.params.header_format.hash(bytes(no_work[:80]))[31] < 0x80:
        no_work[76] += 1
    refused = room.engine.wait_submit(bytes(no_work))
    assert refused.verdict is not None
    assert refused.verdict.reason == "high-hash"
    known = room.engine.wait_submit(room.maker.blocks[-1])
    assert (known.new, known.verdict) == (False, None)
    room.chain.accept([stale[:80]])
    unwanted = room.engine.wait_submit(stale, requested=False)
    assert (unwanted.new, unwanted.verdict) == (False, None), "less work than the tip"
    room.chain.invalidate(room.entry(room.params.header_format.hash(stale[:80])))
    marked = room.engine.wait_submit(stale)
    assert marked.verdict is not None
    assert marked.verdict.result is ValidationResult.CACHED_INVALID


def test_however_many_send_what_nobody_asked_them_for_one_who_was_asked_is_next(
    room: EngineRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[bytes] = []
    gate = gevent.event.Event()
    prepare = room.state.wait_prepare

    def wait_prepare(raw: bytes, worker: Worker | None = None) -> PreparedBlock:
        prepared.append(raw)
        if raw != asked:
            gate.wait()
        return prepare(raw, worker)

    monkeypatch.setattr(room.state, "wait_prepare", wait_prepare)
    strangers = [room.maker.clone().block(extra_nonce=i) for i in range(1, 21)]
    asked = room.maker.block()
    tasks = [gevent.spawn(room.engine.wait_submit, raw, source=i, owed=False) for i, raw in enumerate(strangers)]
    eventually(lambda: len(prepared) == 1)
    assert room.engine.wait_submit(asked, source=99).new
    assert prepared == [strangers[0], asked]
    tasks[5].kill()  # a peer that is gone leaves its place
    gate.set()
    gevent.joinall(tasks, raise_error=True)
    assert len(prepared) == 20
    eventually(lambda: not any(map(room.engine.unsettled, range(100))))


def test_blocks_are_stored_while_a_long_job_runs(room: EngineRoom) -> None:
    room.engine.wait_process(room.maker.block())
    raw = room.maker.block()

    def job() -> int:
        submitted = gevent.spawn(room.engine.wait_submit, raw)
        while not submitted.ready():
            gevent.sleep(0.001)
            room.engine.wait_store_arrived()
        assert submitted.get().new
        return room.height

    assert room.engine.wait_do(job) == 1, "stored, not connected"
    eventually(lambda: room.height == 2)


def test_jobs_see_coins_and_tip_agree(room: EngineRoom) -> None:
    fork = room.maker.clone()
    for raw in room.maker.extend(40):
        room.engine.wait_submit(raw)
    room.engine.wait_do(lambda: None)
    for raw in fork.extend(41, extra_nonce=1):
        room.engine.wait_submit(raw)
        assert room.engine.wait_do(lambda: room.state.coins.best_block == room.tip)
    eventually(lambda: room.tip == fork.hash)


def test_a_job_that_fails_is_its_callers_business(room: EngineRoom) -> None:
    def job() -> None:
        raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"):
        room.engine.wait_do(job)
    assert room.engine.wait_do(lambda: 5) == 5
    assert room.faults == []


def test_a_fault_ends_it_and_releases_everybody(room: EngineRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StorageError("no space left on device")

    monkeypatch.setattr(room.files, "append", full)
    with pytest.raises(StorageError, match="no space"):
        room.engine.wait_submit(room.maker.block())
    assert [str(fault) for fault in room.faults] == ["no space left on device"]
    with pytest.raises(StorageError, match="no space"):
        room.engine.wait_do(lambda: None)


def test_it_flushes_now_and_then(room: EngineRoom) -> None:
    room.engine.wait_process(room.maker.block())
    assert room.store.best_block() is None
    room.clock.advance_steady(engine_module.FLUSH_SECONDS + 1)
    room.engine.wait_do(lambda: None)
    eventually(lambda: room.store.best_block() == room.maker.hash)


def test_closing_flushes(room: EngineRoom) -> None:
    room.engine.wait_process(room.maker.block())
    room.engine.wait_close()
    assert room.store.best_block() == room.maker.hash
    with pytest.raises(StorageError, match="stopping"):
        room.engine.wait_submit(room.maker.block())


def test_a_worker_runs_in_order_and_carries_errors_back() -> None:
    worker = ThreadWorker()
    order: list[int] = []
    tasks = [worker.start(order.append, i) for i in range(20)]
    for task in tasks:
        task.wait()
    assert order == list(range(20))

    def fail() -> None:
        raise StorageError("broken")

    with pytest.raises(StorageError, match="broken"):
        worker.wait_run(fail)
    worker.close()


def test_an_error_keeps_nothing_alive_of_what_led_to_it() -> None:
    """Full collections are rare in the node, and what cannot be parsed may be large."""

    class Large:
        pass

    kept: list[weakref.ref[Large]] = []

    def parse() -> None:
        half = Large()
        kept.append(weakref.ref(half))
        try:
            raise IndexError
        except IndexError:
            raise DecodeError("truncated") from None

    worker = ThreadWorker()
    gc.disable()
    try:
        with pytest.raises(DecodeError, match="truncated"):
            worker.wait_run(parse)
        assert kept[0]() is None
    finally:
        gc.enable()
        worker.close()


def test_between_interrupt_and_close_nobody_is_held_up(room: EngineRoom) -> None:
    fork = room.maker.clone()
    for raw in room.maker.extend(3):
        room.engine.wait_process(raw)
    branch = fork.extend(4, extra_nonce=1)
    for raw in branch[:3]:
        room.engine.wait_submit(raw)
    room.engine.interrupt()
    assert room.engine.wait_submit(branch[3]).new
    gevent.sleep(0.01)
    assert room.tip == room.maker.hash
    room.engine.wait_close()
    room.crash()
    assert room.tip == fork.hash
