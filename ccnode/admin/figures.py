"""The node's figures: what ``getnodestats`` shows and Prometheus collects.

Nothing is counted here. Every figure is read off the part that keeps it when somebody asks.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ccnode import __version__
from ccnode.admin.memory import memory_use
from ccnode.chain.headers import HeaderChain
from ccnode.network.hub import HubLag, count_greenlets
from ccnode.network.network import Network
from ccnode.network.timers import Timers
from ccnode.peers.addrman import AddrMan
from ccnode.peers.bans import Ban, BanList
from ccnode.peers.misbehaviour import Discouragement, Misbehaviour
from ccnode.peers.traffic import RATE_WINDOWS, Flow, tally_bytes, tally_messages
from ccnode.wire.address import ADDRESS_SIZES, NetworkAddress

if TYPE_CHECKING:  # a node of headers loads none of these
    from ccnode.chain.chainstate import Chainstate
    from ccnode.chain.verdict import BlockVerdict

BY_HAND = "by hand"
FOR_MISBEHAVIOUR = "for misbehaviour"
"""Why bans are made."""


@dataclass(slots=True)
class Condemned:
    """Bans and discouraged addresses, counted from the start on; the lists themselves forget."""

    bans: Counter[str] = field(default_factory=lambda: Counter({BY_HAND: 0, FOR_MISBEHAVIOUR: 0}))
    discouraged: int = 0

    def listen(self, bans: BanList, discouragement: Discouragement) -> None:
        """Begin to count."""
        bans.on_ban(self._banned)
        discouragement.on_add(self._discouraged)

    def _banned(self, ban: Ban) -> None:
        self.bans[BY_HAND if ban.manual else FOR_MISBEHAVIOUR] += 1

    def _discouraged(self, _address: NetworkAddress) -> None:
        self.discouraged += 1


@dataclass(slots=True, kw_only=True)
class BlockFigures:
    """Those of a node with blocks. Bytes are read off when somebody asks, blocks are counted from the start on."""

    pending_bytes: Callable[[], int]
    """Of blocks that are stored and wait to be connected."""
    coins_cache_bytes: Callable[[], int]
    """Of changes to the coins that are in memory only."""
    blocks_disk_bytes: Callable[[], int]
    coins_disk_bytes: Callable[[], int]
    connected: int = 0
    disconnected: int = 0
    refused: int = 0
    """Blocks that were invalid when they were to be connected."""

    def listen(self, state: "Chainstate") -> None:
        """Begin to count."""
        state.on_connected(self._connected)
        state.on_disconnected(self._disconnected)
        state.on_block_checked(self._checked)

    def _connected(self, *_block: object) -> None:
        self.connected += 1

    def _disconnected(self, *_block: object) -> None:
        self.disconnected += 1

    def _checked(self, _block_hash: bytes, verdict: "BlockVerdict | None", _source: int | None) -> None:
        self.refused += verdict is not None

    def report(self) -> Mapping[str, int]:
        """A JSON object."""
        return {
            "connected": self.connected,
            "disconnected": self.disconnected,
            "refused": self.refused,
            "pending_bytes": self.pending_bytes(),
            "coins_cache_bytes": self.coins_cache_bytes(),
            "blocks_disk_bytes": self.blocks_disk_bytes(),
            "coins_disk_bytes": self.coins_disk_bytes(),
        }


@dataclass(slots=True, kw_only=True)
class NodeFigures:
    """The parts that have figures."""

    network: Network
    chain: HeaderChain
    addrman: AddrMan
    bans: BanList
    discouragement: Discouragement
    misbehaviour: Misbehaviour
    timers: Timers
    lag: HubLag
    blocks: BlockFigures | None = None
    condemned: Condemned = field(default_factory=Condemned)

    def __post_init__(self) -> None:
        self.condemned.listen(self.bans, self.discouragement)

    def report(self) -> Mapping[str, object]:
        """A JSON object: seconds for lag, bytes for memory and queues, bytes per second for rates."""
        manager = self.network.manager
        resident, peak = memory_use()
        return {
            "version": __version__,
            "hub_lag": {name: round(value, 6) for name, value in self.lag.percentiles().items()},
            "greenlets": count_greenlets(),
            "memory": {"resident": resident, "peak": peak},
            "listening": [str(address) for address in self.network.listening],
            "send_queue_bytes": manager.send_queue_bytes,
            "receive_budget_used": manager.receive_budget_used,
            "timers": len(self.timers),
            "peers": len(manager.peers),
            "addresses": len(self.addrman),
            "headers": len(self.chain.index),
            **({} if self.blocks is None else {"blocks": self.blocks.report()}),
            "traffic": {
                "received": _direction(manager.traffic.received, manager.message_tallies(received=True)),
                "sent": _direction(manager.traffic.sent, manager.message_tallies(received=False)),
            },
            "connections": self._connections(),
            "bans": self._bans(),
            "addrman": {"new": self._table(tried=False), "tried": self._table(tried=True)},
        }

    def _connections(self) -> dict[str, object]:
        counted = self.network.manager.statistics
        return {
            "attempts": {kind.value: count for kind, count in counted.attempts.items()},
            "failures": [
                {"type": kind.value, "reason": reason, "count": count}
                for (kind, reason), count in counted.failures.most_common()
            ],
            "accepted": counted.accepted,
            "refused": dict(counted.refused.most_common()),
            "evicted": counted.evicted,
        }

    def _bans(self) -> dict[str, object]:
        return {
            "listed": len(self.bans),
            "made": dict(self.condemned.bans),
            "discouraged": len(self.discouragement),
            "discouraged_since_start": self.condemned.discouraged,
            "violations": {violation.label: count for violation, count in self.misbehaviour.reported.most_common()},
        }

    def _table(self, *, tried: bool) -> dict[str, object]:
        occupancy = self.addrman.occupancy(tried)
        sizes = {network.value: self.addrman.size(network, not tried) for network in ADDRESS_SIZES}
        return {
            "addresses": {**sizes, "all_networks": self.addrman.size(None, not tried)},
            "slots": occupancy.slots,
            "slots_taken": occupancy.taken,
            "buckets": occupancy.buckets,
            "buckets_begun": occupancy.begun,
            "buckets_full": occupancy.full,
        }


def rates(flow: Flow) -> dict[str, float]:
    """Bytes per second over each of the windows."""
    return {name: flow.rate(seconds) for name, seconds in RATE_WINDOWS.items()}


def _direction(flow: Flow, tallies: Mapping[str, int]) -> dict[str, object]:
    messages = tally_messages(tallies)
    return {
        "bytes": flow.total,
        "messages": sum(messages.values()),
        "bytes_per_second": {name: round(rate, 1) for name, rate in rates(flow).items()},
        "bytes_per_msg": tally_bytes(tallies),
        "messages_per_msg": messages,
    }
