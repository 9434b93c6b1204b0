"""HeaderChain: every verdict, the order of things, marks, events, thresholds."""

from dataclasses import replace

import pytest

from ccnode.chain.headers import ChainStart, HeaderChain
from ccnode.chain.networks import MAINNET, REGTEST
from ccnode.chain.params import SoftForks
from ccnode.chain.pow import block_proof
from ccnode.chain.verdict import ValidationResult
from ccnode.errors import StorageError
from tests.chain.commitment_format import COMMITMENT_FORMAT, commitment_params
from tests.chain.support_chain import (
    FakeClock,
    FreeFormat,
    MemoryStore,
    extend,
    free_params,
    make_header,
    mine,
    new_chain,
    outcome,
)

NOW = 2_000_000_000
EASY = 0x207FFFFF


def regtest(count=0, **changes):
    """A regtest chain with ``count`` headers on the genesis; ``changes`` go to its parameters."""
    chain, store, clock = new_chain(replace(REGTEST, **changes), now=NOW)
    if count:
        assert chain.accept(extend(chain, 0, count)).accepted == count
    return chain, store, clock


def child(chain, *, time=None, bits=EASY, version=4, root=0, parent=None):
    """One mined header on ``parent``, by default the tip, whether it follows the rules or not."""
    index = chain.index
    parent = index.tip if parent is None else parent
    time = index.time(parent) + 600 if time is None else time
    return mine(chain.params, index.hash(parent), time, bits, version=version, root=root)


def refused(chain, headers):
    """The verdict on headers of which not all are accepted; the store and the index must have the good ones only."""
    before = len(chain.index)
    result = chain.accept(headers)
    assert result.verdict is not None
    assert len(chain.index) == before + result.accepted
    assert result.verdict.hash == chain.format.hash(headers[result.verdict.index])
    return result.verdict


# What is accepted


def test_accepts_and_stores():
    chain, store, _ = regtest()
    headers = extend(chain, 0, 5)
    result = chain.accept(headers)
    assert outcome(result) == (5, None)
    assert result.last == chain.index.tip == 5
    assert result.tip_change.connected == range(1, 6)
    assert store.headers == [REGTEST.genesis, *headers]
    assert chain.header_bytes(3) == headers[2]
    assert chain.header(3).prev == chain.index.hash(2)
    assert chain.headers_bytes([5, 1, 2, 4]) == [headers[i - 1] for i in (5, 1, 2, 4)]
    assert chain.headers_bytes([]) == []


def test_known_headers_are_skipped():
    chain, store, _ = regtest()
    headers = extend(chain, 0, 6)
    chain.accept(headers[:4])
    assert outcome(chain.accept(headers[:4])) == (0, None)
    assert outcome(chain.accept(headers[2:3])) == (0, None)
    assert chain.accept(headers[:3]).last == 3
    result = chain.accept(headers[1:])
    assert (result.accepted, result.last) == (2, 6)
    assert store.appends == [1, 4, 2]


def test_genesis_is_known():
    chain, _, _ = regtest()
    result = chain.accept([REGTEST.genesis, *extend(chain, 0, 2)])
    assert (result.accepted, result.last) == (2, 2)


def test_nothing_to_accept():
    result = regtest()[0].accept([])
    assert (result.accepted, result.last, result.verdict, result.tip_change) == (0, None, None, None)


def test_checked_batches_and_known_hashes_are_not_hashed_again(monkeypatch):
    chain, _, _ = regtest()
    headers = extend(chain, 0, 9)
    batch = chain.check_batch(headers[:3])
    hashes = chain.format.hashes(headers)
    monkeypatch.setattr(type(chain.format), "hashes", None)
    assert chain.accept(batch).accepted == 3
    assert chain.accept(headers[3:6], hashes=hashes[3:6]).accepted == 3
    assert chain.check_batch(headers[6:], hashes=hashes[6:]).hashes == hashes[6:]


def test_good_headers_before_a_bad_one_are_accepted():
    chain, store, _ = regtest()
    headers = extend(chain, 0, 5)
    headers[3] = make_header(chain.format.hash(headers[2]), 1296688602 + 2400, EASY, nonce=1 << 31)
    while chain.format.check_pow([headers[3]], chain.format.hashes([headers[3]]), [EASY], REGTEST.pow_limit) is None:
        headers[3] = headers[3][:76] + (int.from_bytes(headers[3][76:], "little") + 1).to_bytes(4, "little")
    result = chain.accept(headers)
    assert outcome(result) == (3, (3, "high-hash"))
    assert result.last == 3
    assert len(store.headers) == 4


def test_the_index_of_a_verdict_counts_known_headers():
    chain, _, _ = regtest()
    good = extend(chain, 0, 3)
    chain.accept(good)
    bad = child(chain, version=3)
    assert outcome(chain.accept([*good, bad])) == (0, (3, "bad-version(0x00000003)"))


# Every verdict


def test_high_hash_comes_before_everything():
    chain, _, _ = regtest(3)
    for bits in (0x1D00FFFF, 0x2100FFFF, 0, 0x04923456):  # no work, over the limit, zero, negative
        verdict = refused(chain, [make_header(b"\x01" * 32, 0, bits)])
        assert (verdict.reason, verdict.result) == ("high-hash", ValidationResult.INVALID_HEADER)


def test_missing_parent():
    chain, _, _ = regtest()
    verdict = refused(chain, [mine(REGTEST, b"\x01" * 32, NOW, EASY)])
    assert (verdict.reason, verdict.result) == ("prev-blk-not-found", ValidationResult.MISSING_PARENT)


def test_headers_that_do_not_follow_one_another():
    chain, _, _ = regtest()
    headers = extend(chain, 0, 4)
    verdict = refused(chain, [headers[0], headers[1], headers[3]])
    assert (verdict.index, verdict.reason) == (2, "non-continuous headers sequence")
    assert verdict.result is ValidationResult.INVALID_HEADER
    assert refused(chain, [headers[0], headers[0]]).index == 1
    assert chain.index.tip == 2


def test_invalid_headers_and_their_children():
    chain, _, _ = regtest(6)
    known = [chain.header_bytes(n) for n in range(1, 7)]
    chain.invalidate(3)
    verdict = refused(chain, known)
    assert (verdict.index, verdict.reason) == (2, "duplicate-invalid")
    assert verdict.result is ValidationResult.CACHED_INVALID
    assert chain.accept(known).last == 2
    assert refused(chain, known[4:]).index == 0
    assert chain.accept(known[4:]).last is None
    verdict = refused(chain, [child(chain, parent=6)])
    assert (verdict.reason, verdict.result) == ("bad-prevblk", ValidationResult.INVALID_PARENT)
    assert chain.accept(known[:2]).verdict is None


def test_bad_bits():
    chain, _, _ = regtest(3)
    verdict = refused(chain, [child(chain, bits=0x207FFFFE)])
    assert (verdict.reason, verdict.result) == ("bad-diffbits", ValidationResult.INVALID_HEADER)


def test_time_must_be_after_the_median_of_eleven():
    chain, _, _ = regtest(20)
    median = chain.index.median_time_past(20)
    assert median == chain.index.time(15)
    assert refused(chain, [child(chain, time=median)]).reason == "time-too-old"
    assert chain.accept([child(chain, time=median + 1)]).accepted == 1


def test_median_of_few():
    chain, _, _ = regtest()
    start = chain.index.time(0)
    assert refused(chain, [child(chain, time=start)]).reason == "time-too-old"
    chain.accept([child(chain, time=start + 1)])
    assert refused(chain, [child(chain, time=start + 1)]).reason == "time-too-old"  # the later one of two
    chain.accept([child(chain, time=start + 100)])
    assert chain.accept([child(chain, time=start + 2)]).accepted == 1  # the middle one of three


def test_two_hours_ahead():
    chain, _, clock = regtest()
    header = child(chain, time=NOW + 7201)
    verdict = refused(chain, [header])
    assert (verdict.reason, verdict.result) == ("time-too-new", ValidationResult.TIME_FUTURE)
    clock.time += 1
    assert chain.accept([header]).accepted == 1


def test_timewarp():
    """BIP94: the first header of a period may be ten minutes before its parent, not more. Others may."""
    params = free_params(allow_min_difficulty_blocks=True, enforce_bip94=True)
    chain, _, _ = new_chain(params, now=NOW)
    chain.accept(extend(chain, 0, 6))
    last = extend(chain, 6, 1, spacing=5000)
    assert chain.accept(last).accepted == 1
    index = chain.index
    for time, accepted in ((index.time(7) - 601, 0), (index.time(7) - 600, 1)):
        (bits,) = params.difficulty.required_bits(index, 7, [time])
        result = chain.accept([make_header(index.hash(7), time, bits)])
        assert result.accepted == accepted
        if not accepted:
            assert result.verdict.reason == "time-timewarp-attack"
    (bits,) = params.difficulty.required_bits(index, 8, [index.time(7) - 3000])
    assert chain.accept([make_header(index.hash(8), index.time(7) - 3000, bits)]).accepted == 1


@pytest.mark.parametrize(
    ("version", "reason"),
    [(3, "bad-version(0x00000003)"), (0, "bad-version(0x00000000)"), (-1, "bad-version(0xffffffff)")],
)
def test_versions(version, reason):
    chain, _, _ = regtest(2)
    verdict = refused(chain, [child(chain, version=version)])
    assert (verdict.reason, verdict.result) == (reason, ValidationResult.INVALID_HEADER)


def test_versions_rise_with_the_soft_forks():
    forks = SoftForks(bip34=2, bip66=3, bip65=4)
    for height, lowest in ((2, 2), (3, 3), (4, 4), (5, 4)):
        chain, _, _ = regtest(height - 1, soft_forks=forks)
        assert refused(chain, [child(chain, version=lowest - 1)]).reason == f"bad-version(0x0000000{lowest - 1})"
        assert chain.accept([child(chain, version=lowest)]).accepted == 1


def test_any_version_before_the_soft_forks():
    for version in (1, 0, -(1 << 31)):
        chain, _, _ = regtest(soft_forks=SoftForks(bip34=2, bip66=3, bip65=4))
        assert chain.accept([child(chain, version=version)]).accepted == 1


def test_checkpoints():
    chain, _, _ = regtest()
    headers = extend(chain, 0, 6)
    hashes = chain.format.hashes(headers)
    chain, _, _ = regtest(checkpoints={5: hashes[4], 3: hashes[2]})
    other = extend(chain, 0, 6, root=1)
    result = chain.accept(other)
    assert outcome(result) == (2, (2, "checkpoint mismatch"))
    assert result.verdict.result is ValidationResult.INVALID_HEADER
    assert chain.accept(headers).accepted == 6


def test_of_several_faults_the_first_header_counts_then_the_first_rule():
    chain, _, _ = regtest(3)
    index = chain.index
    first = child(chain)
    prev = chain.format.hash(first)
    old_and_low = mine(REGTEST, prev, index.time(0), EASY, version=1)
    assert outcome(chain.accept([first, old_and_low])) == (1, (1, "time-too-old"))
    low = child(chain, version=1)
    high = make_header(chain.format.hash(low), 0, 0x1D00FFFF)
    assert outcome(chain.accept([low, high])) == (0, (0, "bad-version(0x00000001)"))
    assert outcome(chain.accept([child(chain, bits=0x207FFFFE, time=NOW + 9000)])) == (0, (0, "bad-diffbits"))


# The store


def test_a_full_store_changes_nothing():
    chain, store, _ = regtest(3)
    told = []
    chain.subscribe(told.append)
    headers = extend(chain, 3, 2)
    store.full = True
    with pytest.raises(StorageError):
        chain.accept(headers)
    assert (chain.index.tip, len(chain.index), told) == (3, 4, [])
    store.full = False
    assert chain.accept(headers).accepted == 2


def test_the_store_has_the_headers_before_anyone_hears_of_them():
    chain, store, _ = regtest()
    seen = []
    chain.subscribe(lambda change: seen.append((len(store.headers), len(chain.index), chain.index.tip)))
    chain.accept(extend(chain, 0, 4))
    assert seen == [(5, 5, 4)]


# Events and marks


def test_reorg_events():
    chain, _, _ = regtest(5)
    told = []
    chain.subscribe(told.append)
    rival = extend(chain, 2, 4, root=1)
    assert chain.accept(rival[:3]).tip_change is None
    chain.accept(rival[3:])
    (change,) = told
    assert (change.old_tip, change.new_tip, change.fork) == (5, 9, 2)
    assert (list(change.disconnected), list(change.connected)) == ([3, 4, 5], [6, 7, 8, 9])


def test_invalidate_and_reconsider():
    chain, _, _ = regtest(5)
    chain.accept(extend(chain, 2, 2, root=1))
    told = []
    chain.subscribe(told.append)
    chain.invalidate(4)
    assert chain.index.tip == 7
    assert chain.invalid_marks() == [chain.index.hash(4)]
    chain.reconsider(5)
    assert (chain.index.tip, chain.invalid_marks()) == (5, [])
    assert [(c.old_tip, c.new_tip) for c in told] == [(5, 7), (7, 5)]
    chain.invalidate(7)
    assert len(told) == 2


def test_marks_are_told_whoever_sets_them():
    chain, _, _ = regtest(5)
    told = []
    chain.on_marks = told.append
    chain.invalidate(3)
    chain.invalidate(5)
    chain.reconsider(5)
    assert told == [[chain.index.hash(3)], [chain.index.hash(3), chain.index.hash(5)], []]


def test_a_separate_active_chain_moves_by_itself_only():
    chain, _, _ = regtest(5)
    chain.separate(2, lambda _n: False)
    told = []
    chain.subscribe(told.append)
    chain.accept(extend(chain, 5, 1))
    assert (chain.index.tip, chain.index.best_header) == (2, 6)
    chain.invalidate(5)
    assert (chain.index.tip, chain.index.best_header) == (2, 4)
    assert told == []
    change = chain.set_active(4)
    assert told == [change]
    assert (list(change.connected), chain.index.tip) == ([3, 4], 4)
    assert chain.set_active(4) is None


def test_only_validated_blocks_off_the_active_chain_are_servable():
    validated = {4}
    chain, _, _ = regtest(5)
    chain.separate(3, validated.__contains__)
    assert [chain.is_servable(n) for n in (3, 4, 5)] == [True, True, False]


# Loading


@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_a_loaded_chain_is_the_same(chunk):
    chain, store, clock = regtest(30)
    chain.accept(extend(chain, 20, 12, root=1))
    chain.accept(extend(chain, 30, 3, root=2))
    chain.accept(extend(chain, 31, 1, root=3))
    chain.invalidate(42)
    again = HeaderChain(REGTEST, MemoryStore(store.headers, chunk), clock)
    again.load(chain.invalid_marks())
    a, b = chain.index, again.index
    assert len(a) == len(b)
    assert (a.tip, a.tips(), a.invalid_marks()) == (b.tip, b.tips(), b.invalid_marks())
    for n in range(len(a)):
        assert (a.hash(n), a.parent(n), a.time(n)) == (b.hash(n), b.parent(n), b.time(n))
        assert (a.bits(n), a.chain_work(n), a.in_active(n)) == (b.bits(n), b.chain_work(n), b.in_active(n))


def test_loading_tells_nobody_and_ignores_foreign_marks():
    _, store, clock = regtest(3)
    again = HeaderChain(REGTEST, store, clock)
    told = []
    again.subscribe(told.append)
    again.load([b"\x01" * 32, REGTEST.genesis_hash])
    assert (again.index.tip, told, again.invalid_marks()) == (3, [], [])


def test_loading_what_is_not_ours():
    with pytest.raises(StorageError, match="does not begin with the first header of regtest"):
        HeaderChain(REGTEST, MemoryStore([MAINNET.genesis]), FakeClock()).load()
    stray = mine(REGTEST, b"\x01" * 32, NOW, EASY)
    with pytest.raises(StorageError, match="header record 1 extends no earlier record"):
        HeaderChain(REGTEST, MemoryStore([REGTEST.genesis, stray]), FakeClock()).load()
    twice = mine(REGTEST, REGTEST.genesis_hash, NOW, EASY)
    with pytest.raises(StorageError, match="header record 2 repeats an earlier record"):
        HeaderChain(REGTEST, MemoryStore([REGTEST.genesis, twice, twice]), FakeClock()).load()


def test_starting_from_a_trusted_header():
    whole, _, _ = regtest(20)
    start = ChainStart(whole.header_bytes(12), 12, whole.index.chain_work(12))
    chain, store, clock = new_chain(REGTEST, start=start)
    assert chain.accept([whole.header_bytes(n) for n in range(13, 21)]).accepted == 8
    assert chain.index.height(chain.index.tip) == 20
    assert chain.index.chain_work(chain.index.tip) == whole.index.chain_work(20)
    again = HeaderChain(REGTEST, store, clock, start=start)
    again.load()
    assert again.index.hash(again.index.tip) == whole.index.hash(20)


# Thresholds


def test_anti_dos_threshold():
    chain, _, _ = regtest()
    assert chain.anti_dos_work_threshold() == 0
    chain.accept(extend(chain, 0, 200))
    assert chain.anti_dos_work_threshold() == 201 * 2 - 144 * 2
    chain, _, _ = regtest(200, minimum_chain_work=1000)
    assert chain.anti_dos_work_threshold() == 1000


def test_work_that_a_batch_claims():
    chain, _, _ = regtest()
    headers = [make_header(bytes(32), 0, bits) for bits in (EASY, EASY, 0x1D00FFFF, 0)]
    assert chain.check_batch(headers).work == 4 + block_proof(0x1D00FFFF)
    assert chain.check_batch([]).work == 0


def test_initial_block_download_ends_once():
    chain, _, clock = regtest(9, minimum_chain_work=21)
    age = 24 * 60 * 60
    clock.time = chain.index.time(9) + 10
    assert chain.is_ibd()
    chain.accept(extend(chain, 9, 1))  # now there is enough work
    recent = chain.index.time(10) + age
    assert chain.is_ibd(recent + 1)
    assert not chain.is_ibd(recent)
    assert not chain.is_ibd(recent + 10 * age)


def test_a_node_that_reads_blocks_from_files_is_not_up_to_date():
    chain, _, _ = regtest()
    chain.accept([child(chain, time=NOW)])
    importing = [True]
    chain.is_importing = importing.pop
    assert chain.is_ibd()
    chain.is_importing = lambda: False
    assert not chain.is_ibd()


def test_max_tip_age():
    chain = HeaderChain(REGTEST, MemoryStore(), FakeClock(NOW), max_tip_age=NOW - chain_time())
    chain.load()
    assert not chain.is_ibd()
    chain = HeaderChain(REGTEST, MemoryStore(), FakeClock(NOW), max_tip_age=NOW - chain_time() - 1)
    chain.load()
    assert chain.is_ibd()


def chain_time():
    """The time of the first header."""
    return REGTEST.header_format.parse(REGTEST.genesis).time


def test_servable():
    month = 30 * 24 * 60 * 60
    chain, _, _ = regtest(10)
    recent, old = extend(chain, 5, 2, root=1), extend(chain, 0, 1, root=2)
    chain.accept(recent)
    chain.accept(old)
    assert chain.is_servable(3)
    assert chain.is_servable(12)
    chain.invalidate(12)
    assert not chain.is_servable(12)
    assert chain.is_servable(11)
    chain.accept(extend(chain, 10, 1, spacing=month))
    assert not chain.is_servable(13)
    assert chain.is_servable(0)


def test_servable_counts_work_as_time():
    chain, _, _ = regtest(1)
    chain.accept(extend(chain, 0, 1, root=1))
    assert chain.is_servable(2)
    chain.accept(extend(chain, 1, 30 * 144 - 1, spacing=1))
    assert chain.is_servable(2)
    chain.accept(extend(chain, chain.index.tip, 1, spacing=1))
    assert not chain.is_servable(2)


# Other formats


def test_another_format(data_dir):
    params = commitment_params()
    chain, store, clock = new_chain(params, now=NOW)
    text = (data_dir / "coinbasechain/regtest_headers_1_20.hex").read_text()
    headers = [bytes.fromhex(line) for line in text.split()]
    chain.accept(headers[:15])
    chain.accept(headers[15:])
    assert chain.index.height(chain.index.tip) == 20
    again = HeaderChain(params, MemoryStore(store.headers, 7), clock)
    again.load()
    assert again.index.tip == 20
    assert COMMITMENT_FORMAT.parse(again.header_bytes(20)) == again.header(20)


def test_work_for_nothing_is_still_checked():
    chain, _, _ = new_chain(free_params())
    header = make_header(chain.index.hash(0), 1_000_000_600, chain.index.bits(0), nonce=FreeFormat.BAD_NONCE)
    assert refused(chain, [header]).reason == "high-hash"
