"""Whole batches get the verdicts that one header after another would get from the rules written naively."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccnode.chain.networks import REGTEST
from ccnode.chain.params import SoftForks
from tests.chain.naive_rules import NaiveChain, naive_median, naive_next_bits
from tests.chain.support_chain import FreeFormat, free_params, make_header, new_chain, outcome

NOW = 1_000_030_000
FORKS = SoftForks(bip34=6, bip66=11, bip65=17)
NETWORKS = {
    "plain": free_params(),
    "minimum difficulty": free_params(allow_min_difficulty_blocks=True),
    "BIP94": free_params(allow_min_difficulty_blocks=True, enforce_bip94=True),
    "no retargeting": free_params(no_retargeting=True),
}


@dataclass(frozen=True)
class Plan:
    """How to make one header: mostly right, sometimes wrong in one way."""

    gap: int  # seconds after the parent
    fault: str = ""


faults = st.sampled_from(["bits", "median", "below median", "future", "version", "pow", "link", "fork", "earliest"])
plans = st.builds(
    Plan,
    st.one_of(st.integers(-700, 1500), st.integers(1190, 1210), st.just(3000), st.integers(-610, -590)),
    st.one_of(st.sampled_from(["", "", "", "", "earliest"]), st.just(""), st.just(""), faults),
)


def build(naive, parent, plan, number):
    """The header that ``plan`` asks for on the naive chain's ``parent``."""
    time = max(parent.time + plan.gap, naive_median(parent) + 1)
    version, nonce = max(1, FORKS.required_version(parent.height + 1)), 0
    prev = parent.hash
    if plan.fault == "median":
        time = naive_median(parent)
    elif plan.fault == "below median":
        time = naive_median(parent) - 5
    elif plan.fault == "earliest":  # no fault, but as close to one as can be
        time = naive_median(parent) + 1
    elif plan.fault == "future":
        time = NOW + 7201
    elif plan.fault == "version":
        version -= 1
    elif plan.fault == "pow":
        nonce = FreeFormat.BAD_NONCE
    elif plan.fault == "link":
        prev = bytes(31) + b"\x07"
    bits = naive_next_bits(naive.params, parent, time)
    if plan.fault == "bits":
        bits -= 1
    return make_header(prev, time, bits, version=version, nonce=nonce, root=number)


@pytest.mark.parametrize("params", NETWORKS.values(), ids=NETWORKS)
@settings(max_examples=60)
@given(batches=st.lists(st.lists(plans, min_size=1, max_size=25), max_size=5), repeat=st.booleans())
def test_verdicts_agree(params, batches, repeat):
    params = replace(params, soft_forks=FORKS)
    chain, _, _ = new_chain(params, now=NOW)
    plain, drafts = NaiveChain(params), NaiveChain(params)
    number = 0
    for batch in batches:
        headers = []
        parent = drafts.nodes[chain.index.hash(chain.index.tip)]
        for plan in batch:
            if plan.fault == "fork" and not headers and parent.parent is not None:
                parent = parent.parent
            number += 1
            headers.append(build(drafts, parent, plan, number))
            if drafts.accept(headers[-1], NOW) is None:
                parent = drafts.nodes[params.header_format.hash(headers[-1])]
        expected = plain.accept_batch(headers, NOW)
        assert outcome(chain.accept(headers)) == expected
        if repeat:
            again = plain.accept_batch(headers, NOW)
            assert outcome(chain.accept(headers)) == again
        assert len(chain.index) == len(plain.nodes)
    assert {chain.index.hash(n) for n in range(len(chain.index))} == plain.nodes.keys()


def test_the_median_window_slides_through_a_batch():
    """Times far ahead leave the window one by one, and each header comes as early as it may."""
    params = replace(REGTEST, header_format=FreeFormat())
    plain = NaiveChain(params)
    parent = plain.nodes[params.genesis_hash]
    headers, medians = [], []
    for i in range(60):
        time = parent.time + 5000 if i % 13 < 5 else naive_median(parent) + 1
        medians.append(naive_median(parent))
        headers.append(make_header(parent.hash, time, parent.bits, root=i))
        assert plain.accept(headers[-1], NOW + 10**9) is None
        parent = plain.nodes[params.header_format.hash(headers[-1])]
    chain, _, _ = new_chain(params)
    assert outcome(chain.accept(headers)) == (60, None)
    for i in range(1, 60):
        chain, _, _ = new_chain(params)
        late = make_header(params.header_format.parse(headers[i]).prev, medians[i], parent.bits)
        assert outcome(chain.accept([*headers[:i], late])) == (i, (i, "time-too-old"))
