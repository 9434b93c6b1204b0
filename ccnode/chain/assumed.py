"""Which blocks' scripts are taken for valid without running them (``assumevalid``; Core: ``ConnectBlock``).

Somebody who trusts the program's authors may trust a hash in it: that the block of this hash, and so its ancestors,
have valid scripts, was checked by many before the release. Everything else about those blocks is still checked. That
the hash is buried under two weeks' work of a chain with the minimum work keeps it from helping to a chain of an
attacker's, and everybody who runs the node sees the latest blocks verified in full.
"""

from typing import Final

from ccnode.chain.index import HeaderIndex
from ccnode.chain.params import ChainParams
from ccnode.chain.pow import block_proof

BURIED_SECONDS: Final = 2 * 7 * 24 * 60 * 60
"""A block is buried when the best header's chain has this much more work, in time at its difficulty."""


def scripts_assumed_valid(params: ChainParams, index: HeaderIndex, n: int) -> bool:
    """Whether the scripts of entry ``n`` need not be run."""
    if params.assumevalid is None:
        return False
    assumed = index.find(params.assumevalid)
    best = index.best_header
    if assumed is None or not (index.extends(assumed, n) and index.extends(best, n)):
        return False
    work = index.chain_work(best)
    if work < params.minimum_chain_work:
        return False
    above = (work - index.chain_work(n)) * params.spacing // block_proof(index.bits(best))
    return above > BURIED_SECONDS
