"""Which blocks are stored, and which become the active chain."""

from pathlib import Path

import pytest

from ccnode.chain.params import MIN_BLOCKS_TO_KEEP
from ccnode.chain.verdict import ValidationResult
from ccnode.errors import StorageError
from tests.support.chain_maker import GENESIS_HASH, OP_TRUE, ChainMaker, outpoint, sha256d, transaction
from tests.support.chainstate import ChainRoom, TrustingScripts


def submit_all(room: ChainRoom, blocks: list[bytes]) -> None:
    for raw in blocks:
        assert room.submit(raw).verdict is None


def grown(directory: Path, height: int) -> tuple[ChainRoom, ChainMaker]:
    room, maker = ChainRoom(directory), ChainMaker()
    submit_all(room, maker.extend(height))
    return room, maker


def hash_of(raw: bytes) -> bytes:
    return sha256d(raw[:80])


def test_the_longer_branch_wins_and_the_coins_follow(tmp_path: Path) -> None:
    room, maker = grown(tmp_path / "a", 110)
    fork = maker.clone()
    submit_all(room, maker.extend(3))
    other = fork.extend(4, extra_nonce=1)
    submit_all(room, other[:3])
    assert room.tip == maker.hash, "equal work: who was first stays"
    submit_all(room, other[3:])
    assert room.tip == fork.hash
    direct = ChainRoom(tmp_path / "b")
    submit_all(direct, fork.blocks)
    assert room.coins() == direct.coins()


def test_nobody_sees_the_middle_of_a_reorganisation(tmp_path: Path) -> None:
    room, maker = grown(tmp_path, 110)
    fork = maker.clone()
    submit_all(room, maker.extend(3))
    blocks = fork.extend(5, extra_nonce=1)
    room.chain.accept([raw[:80] for raw in blocks])
    for raw in [*blocks[:2], *blocks[3:]]:
        room.submit(raw)
    room.published.clear()
    room.submit(blocks[2])
    assert room.published == [hash_of(blocks[3]), hash_of(blocks[4])]
    assert room.moves[-8:] == [("down", 113), ("down", 112), ("down", 111), *(("up", h) for h in range(111, 116))]


def test_back_to_the_old_tip_when_the_new_branch_fails(tmp_path: Path) -> None:
    room, maker = grown(tmp_path, 110)
    fork = maker.clone()
    submit_all(room, maker.extend(3))
    coins = room.coins()
    good = fork.extend(3, extra_nonce=1)
    bad = fork.block(fees=1)
    submit_all(room, good)
    room.published.clear()
    submitted = room.submit(bad)
    assert submitted.verdict is not None
    assert submitted.verdict.reason == "bad-cb-amount"
    assert room.tip == maker.hash
    assert room.published == []
    assert room.coins() == coins
    assert room.chain.index.is_invalid(room.entry(fork.hash))
    child = room.submit(fork.block())
    assert child.verdict is not None
    assert child.verdict.reason == "bad-prevblk"


def test_the_old_tip_is_a_candidate_after_a_restart_too(tmp_path: Path) -> None:
    room, maker = grown(tmp_path, 110)
    fork = maker.clone()
    submit_all(room, maker.extend(2))
    failing = maker.block(fees=1)
    assert room.submit(failing).verdict is not None
    room.state.wait_flush()
    room.chain.reconsider(room.entry(hash_of(failing)))
    room.crash()
    tip = maker.blocks[-2]
    assert room.tip == hash_of(tip)
    submit_all(room, fork.extend(2, extra_nonce=1))
    room.submit(fork.block(fees=1))
    assert room.tip == hash_of(tip)


def test_blocks_in_any_order(tmp_path: Path) -> None:
    maker = ChainMaker()
    blocks = maker.extend(40)
    room = ChainRoom(tmp_path)
    room.chain.accept([raw[:80] for raw in blocks])
    for raw in reversed(blocks[1:]):
        assert room.submit(raw).result.new
    assert room.height == 0
    assert not room.submit(blocks[-1]).result.new, "it is stored"
    room.submit(blocks[0])
    assert room.tip == maker.hash


def test_equal_work_is_ranked_by_when_blocks_were_linked(tmp_path: Path) -> None:
    room, maker = grown(tmp_path, 5)
    fork = maker.clone()
    early, later = maker.extend(2), fork.extend(2, extra_nonce=1)
    room.chain.accept([raw[:80] for raw in early])
    room.submit(early[1])
    submit_all(room, later)
    room.submit(early[0])
    assert room.tip == fork.hash


def test_an_unknown_parent(tmp_path: Path) -> None:
    room, maker = ChainRoom(tmp_path), ChainMaker()
    blocks = maker.extend(2)
    submitted = room.submit(blocks[1])
    assert submitted.verdict is not None
    assert submitted.verdict.result is ValidationResult.MISSING_PARENT
    assert submitted.verdict.reason == "prev-blk-not-found"
    assert submitted.result.entry is None


def test_what_nobody_asked_for_must_be_worth_it(tmp_path: Path) -> None:
    room, maker = grown(tmp_path, 10)
    fork = ChainMaker()
    assert not room.submit(fork.block(extra_nonce=9), requested=False).result.new, "less work than the tip"
    assert not room.state.table.have_data(room.entry(fork.hash))
    ahead = maker.extend(MIN_BLOCKS_TO_KEEP + 1)
    room.chain.accept([raw[:80] for raw in ahead])
    assert not room.submit(ahead[-1], requested=False).result.new, "too far ahead"
    assert room.submit(ahead[-2], requested=False).result.new
    assert room.submit(ahead[-1], requested=True).result.new


def test_low_work_is_not_worth_a_header(tmp_path: Path) -> None:
    room, maker = grown(tmp_path, 3)
    refused = room.state.wait_accept(maker.block(), min_pow_checked=False)
    assert refused.verdict is not None
    assert refused.verdict.reason == "too-little-chainwork"
    assert room.chain.index.find(maker.hash) is None


def test_mutated_blocks_spoil_nothing(tmp_path: Path) -> None:
    room, maker = grown(tmp_path, 105)
    spends = [tx for tx in (maker.spend(), maker.spend()) if tx is not None]
    good = maker.block(spends)
    repeated = good[:80] + b"\x04" + good[81:] + spends[-1].raw
    mutated = room.submit(repeated)
    assert mutated.verdict is not None
    assert mutated.verdict.result is ValidationResult.MUTATED
    assert room.submit(good).verdict is None
    assert room.tip == maker.hash


def test_a_block_of_the_future_may_come_again(tmp_path: Path) -> None:
    room, maker = grown(tmp_path, 3)
    raw = maker.block(time=int(room.clock.now()) + 7300)
    early = room.submit(raw)
    assert early.verdict is not None
    assert early.verdict.result is ValidationResult.TIME_FUTURE
    room.clock.set_wall(room.clock.now() + 200)
    assert room.submit(raw).verdict is None
    assert room.tip == maker.hash


def test_invalidating_and_reconsidering(tmp_path: Path) -> None:
    room, maker = grown(tmp_path, 110)
    at_105 = room.chain.index.active_at(105)
    assert at_105 is not None
    room.state.wait_invalidate(at_105)
    assert room.height == 104
    direct = ChainRoom(tmp_path / "direct")
    submit_all(direct, maker.blocks[:104])
    assert room.coins() == direct.coins()
    room.crash()
    assert room.height == 104, "it is never gone back to by itself"
    room.state.wait_reconsider(at_105)
    assert room.tip == maker.hash


def test_invalidating_goes_to_the_next_best_branch(tmp_path: Path) -> None:
    room, maker = grown(tmp_path, 10)
    fork = maker.clone()
    submit_all(room, maker.extend(5))
    submit_all(room, fork.extend(3, extra_nonce=1))
    assert room.tip == maker.hash
    first = room.chain.index.active_at(11)
    assert first is not None
    room.published.clear()
    room.state.wait_invalidate(first)
    assert room.tip == fork.hash
    assert room.published == [fork.hash]
    room.state.wait_reconsider(first)
    assert room.tip == maker.hash


def test_a_stop_interrupts_what_takes_long(tmp_path: Path) -> None:
    room, maker = grown(tmp_path, 110)
    first = room.chain.index.active_at(1)
    assert first is not None
    room.state.interrupted = True
    room.state.wait_invalidate(first)
    assert room.tip == maker.hash
    assert not room.state.wait_verify(4, 10)
    room.state.interrupted = False
    room.state.wait_activate()
    assert room.tip == GENESIS_HASH
    room.state.wait_reconsider(first)
    assert room.tip == maker.hash
    assert room.state.wait_verify(4, 10)


def test_what_a_failing_branch_has_that_is_good_is_not_forgotten(tmp_path: Path) -> None:
    """The old tip is gone: of two other branches the first fails at its end, and so does the second."""
    room, maker = grown(tmp_path, 10)
    first, second = maker.clone(), maker.clone()
    submit_all(room, maker.extend(3))
    submit_all(room, [second.block(extra_nonce=2), second.block(fees=1)])
    submit_all(room, first.extend(2, extra_nonce=1))
    good = first.hash
    submit_all(room, [first.block(fees=1)])
    assert room.tip == maker.hash
    room.state.wait_invalidate(room.entry(hash_of(maker.blocks[10])))
    assert [verdict and verdict.reason for _hash, verdict in room.checked].count("bad-cb-amount") == 2
    assert room.tip == good


def test_a_branch_whose_end_was_pruned_is_good_up_to_there(tmp_path: Path) -> None:
    room, maker = ChainRoom(tmp_path, max_file_size=1), ChainMaker()
    submit_all(room, maker.extend(10))
    fork = maker.clone()
    submit_all(room, maker.extend(4))
    submit_all(room, fork.extend(2, extra_nonce=1))
    good = fork.hash
    submit_all(room, fork.extend(1, extra_nonce=1))
    position = room.state.table.data_position(room.entry(fork.hash))
    assert position is not None
    room.state.table.forget_files([position.file])
    room.state.wait_invalidate(room.entry(hash_of(maker.blocks[10])))
    assert room.tip == good
    submit_all(room, fork.blocks[-1:])
    assert room.tip == fork.hash


def test_a_precious_block(tmp_path: Path) -> None:
    room, maker = grown(tmp_path, 10)
    fork = maker.clone()
    submit_all(room, maker.extend(1))
    submit_all(room, fork.extend(1, extra_nonce=1))
    first, second = room.entry(maker.hash), room.entry(fork.hash)
    room.state.wait_prefer(second)
    assert room.tip == fork.hash
    room.state.wait_prefer(first)
    assert room.tip == maker.hash
    room.state.wait_prefer(second)
    room.state.wait_flush()
    room.crash()
    assert room.tip == fork.hash
    room.state.wait_prefer(room.chain.index.active_at(5) or 0)
    assert room.tip == fork.hash, "less work is not precious"


def test_a_precious_block_beats_the_tip_of_the_last_run(tmp_path: Path) -> None:
    room, maker = grown(tmp_path, 10)
    fork = maker.clone()
    submit_all(room, maker.extend(1))
    submit_all(room, fork.extend(1, extra_nonce=1))
    room.state.wait_flush()
    room.crash()
    assert room.tip == maker.hash
    room.state.wait_prefer(room.entry(fork.hash))
    assert room.tip == fork.hash


def test_scripts_that_fail(tmp_path: Path) -> None:
    room, maker = grown(tmp_path, 105)
    spend = maker.spend()
    assert spend is not None
    assert isinstance(room.scripts, TrustingScripts)
    room.scripts.bad.add(spend.txid)
    submitted = room.submit(maker.block([spend]))
    assert submitted.verdict is not None
    assert submitted.verdict.reason == "block-script-verify-flag-failed"
    assert submitted.verdict.detail == "input 0 of transaction 1"
    assert room.height == 105


def test_small_blocks_that_a_crash_took_are_taken_again(tmp_path: Path) -> None:
    room, maker = grown(tmp_path / "a", 130)
    room.state.wait_flush()
    blocks = maker.extend(10)
    submit_all(room, blocks)
    assert room.state.bodies.gathered
    room.crash(quiet=False)
    assert room.height == 130
    assert all(room.submit(raw).result.new for raw in blocks)
    assert room.tip == maker.hash
    room.crash()
    assert room.tip == maker.hash
    direct = ChainRoom(tmp_path / "b")
    submit_all(direct, maker.blocks)
    assert room.coins() == direct.coins()


def test_a_crash_loses_nothing_that_was_stored(tmp_path: Path) -> None:
    room, maker = grown(tmp_path / "a", 130)
    room.state.wait_flush()
    fork = maker.clone()
    submit_all(room, maker.extend(10))
    submit_all(room, fork.extend(12, extra_nonce=1))
    room.crash()
    assert room.tip == fork.hash
    direct = ChainRoom(tmp_path / "b")
    submit_all(direct, fork.blocks)
    assert room.coins() == direct.coins()
    assert room.state.table.chain_tx(room.chain.index.tip) == direct.state.table.chain_tx(direct.chain.index.tip)


def test_a_crash_before_the_first_flush(tmp_path: Path) -> None:
    room, maker = grown(tmp_path, 120)
    room.crash()
    assert room.tip == maker.hash


def test_a_crash_inside_a_reorganisation(tmp_path: Path) -> None:
    """A small cache flushes wherever the coins happen to be; each restart goes on from there."""
    reference, maker = grown(tmp_path / "a", 130)
    fork = maker.clone()
    submit_all(reference, maker.extend(40))
    room = ChainRoom(tmp_path / "b", cache_bytes=1)
    submit_all(room, maker.blocks)
    blocks = fork.extend(41, extra_nonce=1)
    for raw in blocks[:-1]:
        room.submit(raw)
    room.state.wait_accept(blocks[-1])
    for _ in range(2):
        room.state.wait_step()
    assert room.state.tip.entry != room.chain.index.tip
    room.crash()
    assert room.tip == fork.hash
    for raw in blocks:
        reference.submit(raw)
    assert room.coins() == reference.coins()


def test_damaged_files_are_named(tmp_path: Path) -> None:
    room, _maker = grown(tmp_path, 110)
    room.state.wait_flush()
    path = tmp_path / "blk00000.dat"
    raw = bytearray(path.read_bytes())
    raw[-20] ^= 1
    path.write_bytes(raw)
    room.crash()
    fork = ChainMaker()
    submit_all(room, fork.extend(110, extra_nonce=1))
    with pytest.raises(StorageError, match="--reindex"):
        room.submit(fork.block())


def test_missing_undo_data(tmp_path: Path) -> None:
    room, maker = grown(tmp_path, 3)
    room.state.wait_flush()
    (tmp_path / "rev00000.dat").unlink()
    with pytest.raises(StorageError, match="--reindex"):
        room.state.wait_invalidate(room.entry(maker.hash))


def test_verification_finds_what_is_wrong(tmp_path: Path) -> None:
    room, _maker = grown(tmp_path, 120)
    for level in range(5):
        assert room.state.wait_verify(level, 0)
    taken = next(iter(room.coins()))
    room.state.coins.apply([taken], {}, room.state.coins.best_block)
    assert room.state.wait_verify(2, 0)
    assert not room.state.wait_verify(3, 0)


def test_a_block_can_be_tried(tmp_path: Path) -> None:
    room, maker = grown(tmp_path, 105)
    after = maker.clone()
    good = maker.block()
    assert room.state.wait_test(good[:76] + b"\0\0\0\0" + good[80:]) is None, "proof of work is not asked for"
    bad = room.state.wait_test(after.clone().block(fees=1))
    assert bad is not None
    assert bad.reason == "bad-cb-amount"
    old = room.state.wait_test(after.block(time=1))
    assert old is not None
    assert old.reason == "time-too-old"
    elsewhere = room.state.wait_test(maker.block())
    assert elsewhere is not None
    assert elsewhere.reason == "inconclusive-not-best-prevblk"
    assert room.height == 105


def test_relative_locks_by_time_ask_for_old_medians(tmp_path: Path) -> None:
    room, maker = grown(tmp_path, 110)
    point, value = maker.ready.popleft()
    units = 2
    spend = transaction([(point, b"", 1 << 22 | units)], [(value, OP_TRUE)])
    early = maker.clone()
    assert room.submit(early.block([spend])).verdict is None, "the coin is a hundred blocks old"
    coin = outpoint(spend.txid, 0)
    soon = early.clone()
    locked = transaction([(coin, b"", 1 << 22 | 20)], [(value, OP_TRUE)])
    refused = room.submit(soon.block([locked]))
    assert refused.verdict is not None
    assert refused.verdict.reason == "bad-txns-nonfinal"
    submit_all(room, early.extend(30, spends=0))
    assert room.submit(early.block([locked])).verdict is None
