"""Low-work synchronisation: both phases, every way out of them, and what they hold in memory meanwhile."""

import gc
import random
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccnode.chain.difficulty import BitcoinDifficulty
from ccnode.chain.formats import BitcoinFormat, Header
from ccnode.chain.networks import MAINNET, REGTEST, SIGNET, TESTNET3, TESTNET4
from ccnode.chain.params import ChainParams
from ccnode.chain.pow import block_proof, encode_compact
from ccnode.sync.presync import LowWorkPhase, LowWorkResult, LowWorkSync
from tests.support.data import read_xz

EASY = 0x207FFFFF  # regtest: two hashes a header
HARD = 0x1D00FFFF
PERIOD = 10
BUFFER = 25
NOW = 1_790_000_000.0
START_TIME = 1_296_688_602

SMALL = replace(REGTEST, presync_period=PERIOD, presync_buffer=BUFFER)


@dataclass
class Chain:
    """Consecutive headers, with their hashes and the work up to each. Number 0 is the start."""

    headers: list[bytes]
    hashes: list[bytes]
    work: list[int]

    @classmethod
    def of(cls, params: ChainParams, headers: Sequence[bytes]) -> "Chain":
        bits = params.header_format.columns(headers).bits
        work = list(accumulate(map(block_proof, bits)))
        return cls(list(headers), params.header_format.hashes(headers), work)


def grow(params: ChainParams, parent: bytes, bits: Sequence[int], salt: int = 0) -> Iterator[bytes]:
    """Headers with these bits on top of ``parent``. Proof of work is the caller's to check: these have none."""
    layout = params.header_format
    before = layout.hash(parent)
    for i, b in enumerate(bits):
        raw = layout.serialize(Header(4, before, salt.to_bytes(32, "little"), START_TIME + 600 * i, b, i))
        before = layout.hash(raw)
        yield raw


def make_chain(count: int, *, params: ChainParams = SMALL, bits: int = EASY, salt: int = 0) -> Chain:
    """``count`` headers on the genesis."""
    return Chain.of(params, [params.genesis, *grow(params, params.genesis, [bits] * count, salt)])


class FixedOffset(random.Random):
    """Commits to the heights whose remainder is ``offset``."""

    offset = 0

    def randrange(self, *args: int, **kwargs: int) -> int:
        return self.offset


def rng(seed: int = 1, offset: int | None = None) -> random.Random:
    if offset is None:
        return random.Random(seed)
    fixed = FixedOffset(seed)
    fixed.offset = offset
    return fixed


def start_sync(
    chain: Chain,
    minimum_work: int,
    *,
    params: ChainParams = SMALL,
    generator: random.Random | None = None,
    start_mtp: int = START_TIME,
    height: int = 0,
) -> LowWorkSync:
    return LowWorkSync(
        params,
        generator or rng(),
        start_hash=chain.hashes[0],
        start_height=height,
        start_bits=params.header_format.columns(chain.headers[:1]).bits[0],
        start_work=chain.work[0],
        start_mtp=start_mtp,
        start_locator=[chain.hashes[0], b"\xee" * 32],
        minimum_work=minimum_work,
        now=NOW,
    )


def feed(sync: LowWorkSync, chain: Chain, start: int, stop: int, *, full: bool = True) -> LowWorkResult:
    """Give headers [start, stop) of ``chain``, counted from its parent."""
    return sync.process(chain.headers[start:stop], chain.hashes[start:stop], full)


def serve(sync: LowWorkSync, chain: Chain, batch: Callable[[], int]) -> tuple[list[bytes], list[bytes], LowWorkResult]:
    """Answer the locators from ``chain`` until nothing more is asked; returns all that was released."""
    ready: list[bytes] = []
    ready_hashes: list[bytes] = []
    places = {block_hash: i for i, block_hash in enumerate(chain.hashes)}
    last = chain.hashes[0]
    while True:
        start = places[last] + 1
        stop = start + batch()
        result = feed(sync, chain, start, stop, full=stop <= len(chain.headers))
        ready += result.ready
        ready_hashes += result.ready_hashes
        if not result.request_more:
            return ready, ready_hashes, result
        last = sync.locator()[0]


# -- the way through ---------------------------------------------------------------------------------------------------


def test_two_phases_step_by_step() -> None:
    chain = make_chain(100)
    sync = start_sync(chain, minimum_work=chain.work[60])
    way_back = [chain.hashes[0], b"\xee" * 32]
    assert (sync.phase, sync.presync_height, sync.locator()[1:]) == (LowWorkPhase.PRESYNC, 0, way_back)

    assert feed(sync, chain, 1, 31) == LowWorkResult(success=True, request_more=True)
    assert (sync.phase, sync.presync_height, sync.work) == (LowWorkPhase.PRESYNC, 30, chain.work[30])
    assert sync.presync_time == START_TIME + 600 * 29
    assert sync.locator() == [chain.hashes[30], *way_back]

    assert feed(sync, chain, 31, 61) == LowWorkResult(success=True, request_more=True)
    assert (sync.phase, sync.presync_height, sync.work) == (LowWorkPhase.REDOWNLOAD, 60, chain.work[60])
    assert sync.locator() == [chain.hashes[0], *way_back]

    assert feed(sync, chain, 1, 21) == LowWorkResult(success=True, request_more=True)
    assert sync.locator() == [chain.hashes[20], *way_back]
    assert feed(sync, chain, 21, 41) == LowWorkResult(
        success=True, request_more=True, ready=chain.headers[1:16], ready_hashes=chain.hashes[1:16]
    )
    assert (sync.redownload_height, sync.presync_height) == (40, 60)
    assert feed(sync, chain, 41, 71) == LowWorkResult(
        success=True, request_more=False, ready=chain.headers[16:71], ready_hashes=chain.hashes[16:71]
    )
    assert (sync.phase, sync.locator(), sync.abort_reason) == (LowWorkPhase.FINAL, [], "")


def test_a_batch_that_is_not_full_may_reach_the_work() -> None:
    chain = make_chain(40)
    sync = start_sync(chain, minimum_work=chain.work[40])
    assert feed(sync, chain, 1, 41, full=False).request_more
    result = feed(sync, chain, 1, 41, full=False)
    assert (result.success, result.ready, sync.abort_reason) == (True, chain.headers[1:], "")


def test_nothing_is_taken_after_the_end_nor_an_empty_batch() -> None:
    chain = make_chain(10)
    sync = start_sync(chain, minimum_work=chain.work[10])
    with pytest.raises(ValueError):
        sync.process([], [], True)
    feed(sync, chain, 1, 6, full=False)
    assert sync.phase is LowWorkPhase.FINAL
    with pytest.raises(ValueError):
        feed(sync, chain, 6, 11)


LONG = make_chain(300)


@given(
    seed=st.integers(0, 2**32),
    period=st.integers(1, 40),
    buffer=st.integers(0, 60),
    enough=st.integers(1, 200),
    height=st.integers(0, 50),
    largest=st.integers(1, 70),
)
def test_any_batches_release_the_chain_in_order(
    seed: int, period: int, buffer: int, enough: int, height: int, largest: int
) -> None:
    params = replace(SMALL, presync_period=period, presync_buffer=buffer)
    sizes = random.Random(seed)
    sync = start_sync(LONG, LONG.work[enough], params=params, generator=rng(seed), height=height)
    ready, ready_hashes, result = serve(sync, LONG, lambda: sizes.randint(1, largest))
    assert (result.success, sync.abort_reason) == (True, "")
    assert enough <= sync.redownload_height - height == len(ready)
    assert ready == LONG.headers[1 : len(ready) + 1]
    assert ready_hashes == LONG.hashes[1 : len(ready) + 1]


# -- every way out -----------------------------------------------------------------------------------------------------


def at_redownload(
    chain: Chain, enough: int, generator: random.Random | None = None, params: ChainParams = SMALL
) -> LowWorkSync:
    """A synchronisation that has seen ``enough`` headers of ``chain`` and goes back to its start."""
    sync = start_sync(chain, chain.work[enough], params=params, generator=generator)
    assert feed(sync, chain, 1, enough + 1).request_more
    assert sync.phase is LowWorkPhase.REDOWNLOAD
    return sync


def assert_failed(sync: LowWorkSync, result: LowWorkResult, reason: str) -> None:
    assert result == LowWorkResult(success=False)
    assert (sync.phase, sync.locator(), sync.abort_reason) == (LowWorkPhase.FINAL, [], reason)


def test_presync_ends_when_the_chain_does() -> None:
    chain = make_chain(50)
    sync = start_sync(chain, minimum_work=chain.work[50] + 1)
    assert feed(sync, chain, 1, 31).request_more
    assert feed(sync, chain, 31, 51, full=False) == LowWorkResult(success=True)
    assert sync.phase is LowWorkPhase.FINAL
    assert sync.abort_reason == "incomplete headers message at height=50 (presync phase)"


def test_redownload_ends_when_the_peer_stops_and_keeps_what_was_proved() -> None:
    chain = make_chain(100)
    sync = at_redownload(chain, 90)
    result = feed(sync, chain, 1, 31, full=False)
    assert result == LowWorkResult(success=True, ready=chain.headers[1:6], ready_hashes=chain.hashes[1:6])
    assert sync.phase is LowWorkPhase.FINAL
    assert sync.abort_reason == "incomplete headers message at height=30 (redownload phase)"


def test_presync_needs_the_next_header() -> None:
    chain = make_chain(100)
    sync = start_sync(chain, chain.work[90])
    feed(sync, chain, 1, 11)
    assert_failed(sync, feed(sync, chain, 12, 22), "non-continuous headers at height=10 (presync phase)")


def test_redownload_needs_the_next_header() -> None:
    chain = make_chain(100)
    sync = at_redownload(chain, 90)
    feed(sync, chain, 1, 11)
    assert_failed(sync, feed(sync, chain, 12, 22), "non-continuous headers at height=10 (redownload phase)")


RETARGETING = replace(
    SMALL,
    difficulty=BitcoinDifficulty(SMALL.pow_limit, target_spacing=600, target_timespan=600 * 16),
    presync_period=1000,
)
"""A retarget every 16 headers; commitments are too far apart to matter."""

RETARGETING_START = next(grow(RETARGETING, RETARGETING.genesis, [HARD]))


def scaled(bits: int, numerator: int, denominator: int) -> int:
    """``bits`` with the target multiplied."""
    target = (1 << 256) // block_proof(bits)
    return encode_compact(target * numerator // denominator)


@pytest.mark.parametrize(
    ("height", "factor", "allowed"),
    [
        (16, (1, 4), True),
        (16, (2, 1), True),
        (16, (4, 1), True),
        (16, (1, 5), False),
        (16, (5, 1), False),
        (17, (2, 1), False),
        (15, (1, 2), False),
    ],
)
@pytest.mark.parametrize("phase", [LowWorkPhase.PRESYNC, LowWorkPhase.REDOWNLOAD])
def test_bits_may_only_change_by_the_rule(
    height: int, factor: tuple[int, int], allowed: bool, phase: LowWorkPhase
) -> None:
    start = RETARGETING_START
    chain = Chain.of(
        RETARGETING, [start, *grow(RETARGETING, start, [HARD] * (height - 1) + [scaled(HARD, *factor)] * 5)]
    )
    plain = Chain.of(RETARGETING, [start, *grow(RETARGETING, start, [HARD] * 50)])
    sync = start_sync(plain, plain.work[50], params=RETARGETING, generator=rng(offset=999))
    if phase is LowWorkPhase.REDOWNLOAD:
        feed(sync, plain, 1, 51)
    assert sync.phase is phase
    for change_at in (0, 1):  # at the start of a batch, and inside one
        attempt = deepcopy(sync)
        assert feed(attempt, chain, 1, height - change_at).request_more
        result = feed(attempt, chain, height - change_at, height + 3)
        if allowed:
            assert result.request_more
        else:
            assert_failed(attempt, result, f"invalid difficulty transition at height={height} ({phase.value} phase)")


def test_presync_stops_at_more_headers_than_time_allows() -> None:
    chain = make_chain(100)
    for offset, last in ((3, 32), (0, 39)):  # the fourth commitment is one too many
        mtp = int(NOW) + 7200 - 3 * PERIOD // 6 - 1  # six seconds: 36 headers, three commitments
        sync = start_sync(chain, chain.work[90], generator=rng(offset=offset), start_mtp=mtp)
        for height in range(1, last + 1):
            assert feed(sync, chain, height, height + 1).request_more
        reason = f"exceeded max commitments at height={last + 1} (presync phase)"
        assert_failed(sync, feed(sync, chain, last + 1, last + 21), reason)


def test_a_start_in_the_far_future_allows_no_header_that_counts() -> None:
    chain = make_chain(100)
    sync = start_sync(chain, chain.work[90], generator=rng(offset=5), start_mtp=int(NOW) + 8000)
    reason = "exceeded max commitments at height=5 (presync phase)"
    assert_failed(sync, feed(sync, chain, 1, 21), reason)


def test_one_commitment_notices_another_chain_half_of_the_time() -> None:
    chain, other = make_chain(100), make_chain(100, salt=1)
    noticed = 0
    for seed in range(400):
        sync = at_redownload(chain, 90, rng(seed))
        result = feed(sync, other, 1, 11)
        if not result.success:
            noticed += 1
            assert_failed(sync, result, f"commitment mismatch at height={_height(sync)} (redownload phase)")
    assert 160 < noticed < 240


def test_twenty_five_commitments_let_nothing_of_another_chain_through() -> None:
    params = replace(SMALL, presync_period=1)
    chain, other = make_chain(100), make_chain(100, salt=1)
    for seed in range(100):
        sync = at_redownload(chain, 90, rng(seed), params)
        ready, _, result = serve(sync, other, lambda: 5)
        assert (ready, result) == ([], LowWorkResult(success=False))


def _height(sync: LowWorkSync) -> int:
    return int(sync.abort_reason.split("height=")[1].split()[0])


def test_every_offset_is_used_and_a_mismatch_is_found_at_it() -> None:
    chain, other = make_chain(100), make_chain(100, salt=1)
    heights = set()
    for seed in range(300):
        sync = at_redownload(chain, 90, rng(seed))
        if not feed(sync, other, 1, 11).success:
            heights.add(_height(sync))
    assert heights == set(range(1, 11))


def test_a_longer_chain_with_less_work_runs_out_of_commitments() -> None:
    hard = make_chain(4, bits=HARD)
    easy = make_chain(100)
    sync = at_redownload(hard, 4, rng(offset=7))  # none of its four headers was committed to
    assert feed(sync, easy, 1, 7).success
    assert_failed(sync, feed(sync, easy, 7, 20), "commitment overrun at height=7 (redownload phase)")


def test_commitments_do_not_bind_past_the_work() -> None:
    """The peer's chain was reorganised above the header that had enough work, and is longer now."""
    chain = make_chain(42)
    tail = list(grow(SMALL, chain.headers[40], [EASY] * 60, salt=9))
    moved = Chain.of(SMALL, chain.headers[:41] + tail)
    for seed in range(20):
        sync = start_sync(chain, chain.work[40], generator=rng(seed))
        assert feed(sync, chain, 1, 43, full=False).request_more
        result = feed(sync, moved, 1, 101)
        assert (result.success, result.ready) == (True, moved.headers[1:])


# -- other networks and real headers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("params", [MAINNET, TESTNET3, TESTNET4, SIGNET, REGTEST], ids=lambda p: p.name)
def test_every_rule_permits_unchanged_bits(params: ChainParams) -> None:
    """What the check of transitions takes for granted."""
    limit = encode_compact(params.pow_limit)
    for height in (1, 2015, 2016, 2017, 4032, 800_000, 806_400):
        for bits in (limit, limit - 1, 0x1B0404CB, 0x17053894, 0x1D00D86A):
            assert params.difficulty.permitted_transition(height, bits, bits)


class WideFormat(BitcoinFormat):
    """A header of 100 bytes with the previous hash elsewhere."""

    name = "wide"
    size = 100
    prev_offset = 24
    time_offset = 88
    bits_offset = 92

    def serialize(self, header: Header) -> bytes:
        plain = super().serialize(header)
        return plain[36:56] + plain[:4] + plain[4:36] + plain[56:68] + plain[36:56] + plain[68:]


def test_a_format_of_another_size() -> None:
    params = replace(SMALL, header_format=WideFormat(), genesis=bytes(92) + EASY.to_bytes(4, "little") + bytes(4))
    chain = make_chain(200, params=params)
    sync = start_sync(chain, chain.work[150], params=params)
    ready, ready_hashes, result = serve(sync, chain, lambda: 20)
    assert result.success
    assert (ready, ready_hashes) == (chain.headers[1:161], chain.hashes[1:161])


@pytest.fixture(scope="module")
def mainnet(data_dir: Path) -> Chain:
    raw = read_xz(data_dir / "headers/mainnet_000000_032259.bin.xz")
    return Chain.of(MAINNET, [raw[i : i + 80] for i in range(0, len(raw), 80)])


def test_mainnet_up_to_a_lowered_minimum(mainnet: Chain) -> None:
    sync = start_sync(mainnet, mainnet.work[30_000], params=MAINNET)
    ready, ready_hashes, result = serve(sync, mainnet, lambda: 2000)
    assert (result.success, len(result.ready)) == (True, 15_218 + 2000)
    assert ready == mainnet.headers[1:30_001]
    assert ready_hashes == mainnet.hashes[1:30_001]


def test_mainnet_headers_of_2009_are_never_enough(mainnet: Chain) -> None:
    sync = start_sync(mainnet, MAINNET.minimum_chain_work, params=MAINNET)
    ready, _, result = serve(sync, mainnet, lambda: 2000)
    assert (result, ready) == (LowWorkResult(success=True), [])
    assert sync.abort_reason == "incomplete headers message at height=32259 (presync phase)"
    assert sync.work == mainnet.work[32_259]


# -- memory ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def traced() -> Iterator[Callable[[], int]]:
    """Bytes allocated since the fixture was set up and still held."""
    gc.collect()
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()


def test_presync_of_a_quarter_million_headers_holds_only_bits(traced: Callable[[], int]) -> None:
    params = replace(SMALL, presync_period=2)  # 300 times the commitments of mainnet
    start = Chain.of(params, [params.genesis])
    sync = start_sync(start, minimum_work=1 << 80, params=params)
    tip = params.genesis
    for _ in range(125):
        headers = list(grow(params, tip, [EASY] * 2000))
        assert sync.process(headers, params.header_format.hashes(headers), True).request_more
        tip = headers[-1]
    assert sync.presync_height == 250_000
    del headers
    held = traced()
    assert 16_000 < held < 40_000  # 125,000 bits are 16 kB
    feed(sync, start, 0, 1)  # does not continue: the end
    assert sync.phase is LowWorkPhase.FINAL
    assert held - traced() > 15_000


@pytest.mark.parametrize("last", [28_001, 1], ids=["the last batch", "a batch that does not continue"])
def test_redownload_holds_the_queue_without_previous_hashes(
    mainnet: Chain, traced: Callable[[], int], last: int
) -> None:
    sync = start_sync(mainnet, mainnet.work[30_000], params=MAINNET)
    for i in range(1, 30_001, 2000):
        feed(sync, mainnet, i, i + 2000)
    assert sync.phase is LowWorkPhase.REDOWNLOAD
    before = traced()
    held = []
    for i in range(1, 28_001, 2000):
        feed(sync, mainnet, i, i + 2000)
        held.append(traced() - before)
    assert abs(max(held) - MAINNET.presync_buffer * 48) < 5_000
    feed(sync, mainnet, last, last + 2000)
    assert sync.phase is LowWorkPhase.FINAL
    assert traced() - before < 5_000
