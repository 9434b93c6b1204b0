"""The header rules written down a second time, one header at a time and without a thought for speed.

The oracle for `ccnode.chain`: a dictionary of nodes with parent pointers, walked step by step.
"""

from dataclasses import dataclass

from ccnode.chain.params import ChainParams
from ccnode.chain.pow import decode_compact, encode_compact


@dataclass(eq=False)
class Node:
    """One accepted header."""

    hash: bytes
    parent: "Node | None"
    height: int
    time: int
    bits: int


def naive_next_bits(params: ChainParams, parent: Node, time: int) -> int:
    """What Core's GetNextWorkRequired answers."""
    rule = params.difficulty
    limit = encode_compact(params.pow_limit)
    if (parent.height + 1) % rule.interval:
        if not rule.allow_min_difficulty_blocks:
            return parent.bits
        if time > parent.time + 2 * rule.target_spacing:
            return limit
        node = parent
        while node.parent and node.height % rule.interval and node.bits == limit:
            node = node.parent
        return node.bits
    if rule.no_retargeting:
        return parent.bits
    first = parent
    for _ in range(rule.interval - 1):
        first = first.parent
    span = parent.time - first.time
    span = max(span, rule.target_timespan // 4)
    span = min(span, rule.target_timespan * 4)
    old = first.bits if rule.enforce_bip94 else parent.bits
    return encode_compact(min(decode_compact(old)[0] * span // rule.target_timespan, params.pow_limit))


def naive_median(node: Node) -> int:
    """Median of the last eleven times."""
    times = []
    while node is not None and len(times) < 11:
        times.append(node.time)
        node = node.parent
    return sorted(times)[len(times) // 2]


class NaiveChain:
    """Accepts headers one by one."""

    def __init__(self, params: ChainParams) -> None:
        self.params = params
        header = params.header_format.parse(params.genesis)
        self.nodes = {params.genesis_hash: Node(params.genesis_hash, None, 0, header.time, header.bits)}

    def accept(self, raw: bytes, now: float) -> str | None:
        """The reject reason, or None if the header is in the chain now."""
        form = self.params.header_format
        header = form.parse(raw)
        block_hash = form.hash(raw)
        if block_hash in self.nodes:
            return None
        if form.check_pow([raw], [block_hash], [header.bits], self.params.pow_limit) is not None:
            return "high-hash"
        parent = self.nodes.get(header.prev)
        if parent is None:
            return "prev-blk-not-found"
        reason = self._contextual(header, parent, now)
        if reason is None and self.params.checkpoints.get(parent.height + 1, block_hash) != block_hash:
            reason = "checkpoint mismatch"
        if reason is None:
            self.nodes[block_hash] = Node(block_hash, parent, parent.height + 1, header.time, header.bits)
        return reason

    def _contextual(self, header, parent: Node, now: float) -> str | None:
        height = parent.height + 1
        if header.bits != naive_next_bits(self.params, parent, header.time):
            return "bad-diffbits"
        if header.time <= naive_median(parent):
            return "time-too-old"
        rule, forks = self.params.difficulty, self.params.soft_forks
        if rule.enforce_bip94 and height % rule.interval == 0 and header.time < parent.time - 600:
            return "time-timewarp-attack"
        if header.time > now + 7200:
            return "time-too-new"
        needed = ((2, forks.bip34), (3, forks.bip66), (4, forks.bip65))
        if any(header.version < version and height >= since for version, since in needed):
            return f"bad-version(0x{header.version & 0xFFFFFFFF:08x})"
        return None

    def accept_batch(self, headers: list[bytes], now: float) -> tuple[int, tuple[int, str] | None]:
        """How many headers are new in the chain, and (index, reason) of the first bad one."""
        before = len(self.nodes)
        verdict = None
        previous = None
        for i, raw in enumerate(headers):
            linked = previous is None or self.params.header_format.parse(raw).prev == previous
            reason = self.accept(raw, now) if linked else self._unlinked(raw)
            if reason is not None:
                verdict = i, reason
                break
            previous = self.params.header_format.hash(raw)
        return len(self.nodes) - before, verdict

    def _unlinked(self, raw: bytes) -> str:
        """A header that does not extend the one before it; bad proof of work comes first."""
        form = self.params.header_format
        bits = form.parse(raw).bits
        bad = form.check_pow([raw], [form.hash(raw)], [bits], self.params.pow_limit) is not None
        return "high-hash" if bad else "non-continuous headers sequence"
