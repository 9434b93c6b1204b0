"""Version bits: states by period, and what is warned of."""

from dataclasses import replace

import pytest
from support_chain import free_params, make_header, new_chain

from ccnode.chain.headers import HeaderChain
from ccnode.chain.networks import MAINNET, REGTEST
from ccnode.chain.params import Deployment, UnknownSignals
from ccnode.chain.version_bits import TOP_BITS, State, VersionBits

PERIOD, THRESHOLD = 10, 7
DUMMY = Deployment("dummy", bit=3, period=PERIOD, threshold=THRESHOLD)
SIGNAL = TOP_BITS | 1 << 3


def chain_of(deployment: Deployment = DUMMY, *, from_height: int = 0) -> HeaderChain:
    unknown = UnknownSignals(from_height, PERIOD, THRESHOLD)
    return new_chain(replace(free_params(no_retargeting=True), deployments=(deployment,), unknown_signals=unknown))[0]


def grow(chain: HeaderChain, *versions: int, parent: int | None = None) -> int:
    """Headers of these versions on the tip, 600 seconds apart; the last one's entry."""
    index = chain.index
    last = index.tip if parent is None else parent
    for version in versions:
        header = make_header(index.hash(last), index.time(last) + 600, index.bits(last), version=version)
        result = chain.accept([header])
        assert result.verdict is None
        assert result.last is not None
        last = result.last
    return last


def states(chain: HeaderChain, deployment: Deployment = DUMMY) -> list[str]:
    """Of the blocks of the best chain and the one after."""
    bits, index = VersionBits(chain), chain.index
    parents = [None, *(index.active_at(height) for height in range(index.height(index.tip) + 1))]
    return [bits.state(deployment, parent).value for parent in parents]


def test_a_step_a_period() -> None:
    chain = chain_of()
    grow(chain, *[SIGNAL] * 40)  # the first nine are in the genesis' period, which nobody counts
    assert states(chain) == ["defined"] * 10 + ["started"] * 10 + ["locked_in"] * 10 + ["active"] * 12


@pytest.mark.parametrize(("signals", "expected"), [(THRESHOLD - 1, State.STARTED), (THRESHOLD, State.LOCKED_IN)])
def test_the_threshold(signals: int, expected: State) -> None:
    chain = chain_of()
    tip = grow(chain, *[TOP_BITS] * 9, *[SIGNAL] * signals, *[TOP_BITS] * (PERIOD - signals))
    assert VersionBits(chain).state(DUMMY, tip) is expected


@pytest.mark.parametrize("version", [1 << 3, 0x40000008, 0x60000008, TOP_BITS | 1 << 4])
def test_what_is_no_signal(version: int) -> None:
    chain = chain_of()
    tip = grow(chain, *[TOP_BITS] * 9, *[version] * PERIOD)
    assert VersionBits(chain).state(DUMMY, tip) is State.STARTED
    assert not any(VersionBits(chain).signals(DUMMY, tip).blocks)


def test_times_are_medians_and_enough_signals_beat_the_timeout() -> None:
    genesis_time = chain_of().index.time(0)
    start = genesis_time + 600 * 14  # the median at height 19; the one at height 9 is earlier
    late = replace(DUMMY, start_time=start)
    chain = chain_of(late)
    grow(chain, *[TOP_BITS] * 29)
    assert states(chain, late) == ["defined"] * 20 + ["started"] * 11
    assert states(chain, replace(late, start_time=start + 1))[20] == "defined"

    timeout = replace(DUMMY, timeout=start)
    chain = chain_of(timeout)
    grow(chain, *[TOP_BITS] * 19)
    assert states(chain, timeout)[19:] == ["started", "failed"]
    assert states(chain, replace(timeout, timeout=start + 1))[19:] == ["started", "started"]
    chain = chain_of(timeout)
    grow(chain, *[SIGNAL] * 19)
    assert states(chain, timeout)[19:] == ["started", "locked_in"]


def test_a_least_height() -> None:
    patient = replace(DUMMY, min_activation_height=31)
    chain = chain_of(patient)
    grow(chain, *[SIGNAL] * 49)
    assert states(chain, patient) == ["defined"] * 10 + ["started"] * 10 + ["locked_in"] * 20 + ["active"] * 11


def test_constants() -> None:
    chain = chain_of()
    assert states(chain, replace(DUMMY, start_time=Deployment.ALWAYS_ACTIVE)) == ["active"] * 2
    assert states(chain, replace(DUMMY, start_time=Deployment.NEVER_ACTIVE)) == ["failed"] * 2
    assert VersionBits(chain).since(replace(DUMMY, start_time=Deployment.ALWAYS_ACTIVE), 0) == 0


def test_since_when() -> None:
    chain = chain_of()
    grow(chain, *[SIGNAL] * 55)
    bits, index = VersionBits(chain), chain.index
    found = [bits.since(DUMMY, index.active_at(height)) for height in range(index.height(index.tip) + 1)]
    assert found == [0] * 9 + [10] * 10 + [20] * 10 + [30] * 27
    assert bits.since(DUMMY, None) == 0


def test_signals_of_a_period_so_far() -> None:
    chain = chain_of()
    tip = grow(chain, *[TOP_BITS] * 9, SIGNAL, TOP_BITS, TOP_BITS, SIGNAL)
    signals = VersionBits(chain).signals(DUMMY, tip)
    assert signals.blocks == (True, False, False, True)
    assert (signals.elapsed, signals.count, signals.possible) == (4, 2, True)
    signals = VersionBits(chain).signals(DUMMY, grow(chain, TOP_BITS, TOP_BITS))
    assert not signals.possible
    assert len(VersionBits(chain).signals(DUMMY, 0).blocks) == 1


def test_the_version_of_our_blocks_signals_while_it_counts() -> None:
    chain = chain_of()
    bits = VersionBits(chain)
    assert bits.block_version(None) == bits.block_version(0) == TOP_BITS
    versions = []
    for _ in range(35):
        versions.append(bits.block_version(chain.index.tip))
        grow(chain, versions[-1])
    assert versions == [TOP_BITS] * 9 + [SIGNAL] * 20 + [TOP_BITS] * 6


def test_branches_have_states_of_their_own() -> None:
    chain = chain_of()
    fork = grow(chain, *[TOP_BITS] * 12)
    one = grow(chain, *[SIGNAL] * 7)
    other = grow(chain, *[TOP_BITS] * 7, parent=fork)
    bits = VersionBits(chain)
    assert bits.state(DUMMY, one) is State.LOCKED_IN
    assert bits.state(DUMMY, other) is State.STARTED


def test_unknown_signals_are_told_of_once_they_are_active() -> None:
    chain = chain_of()
    unknown = TOP_BITS | 1 << 27
    bits = VersionBits(chain)
    grow(chain, *[TOP_BITS] * 9, *[unknown] * 6, *[SIGNAL] * 4)
    assert bits.unknown(chain.index.tip) == []
    grow(chain, *[unknown] * 7, *[TOP_BITS] * 3)
    assert bits.unknown(chain.index.tip) == []  # locked in
    grow(chain, *[TOP_BITS] * 10)
    assert bits.unknown(chain.index.tip) == [27]
    assert VersionBits(chain).unknown(chain.index.tip) == [27]


def test_known_signals_are_not_told_of_while_they_count() -> None:
    chain = chain_of()
    grow(chain, *[SIGNAL] * 29)
    assert VersionBits(chain).unknown(chain.index.tip) == []
    grow(chain, *[SIGNAL] * 30)  # it is active, and somebody still signals: for something else
    assert VersionBits(chain).unknown(chain.index.tip) == [3]


def test_what_was_signalled_before_a_height_is_settled() -> None:
    chain = chain_of(from_height=30)
    grow(chain, *[TOP_BITS | 1] * 29, *[TOP_BITS | 2] * 30)
    assert VersionBits(chain).unknown(chain.index.tip) == [1]


def test_others_run_meanwhile() -> None:
    chain = chain_of()
    grow(chain, *[TOP_BITS] * 35)
    called: list[None] = []
    VersionBits(chain).unknown(chain.index.tip, between=lambda: called.append(None))
    assert called


def test_deployments_of_the_networks() -> None:
    assert MAINNET.deployments == ()
    assert [(each.name, each.bit, each.period, each.threshold) for each in REGTEST.deployments] == [
        ("testdummy", 28, 144, 108)
    ]
