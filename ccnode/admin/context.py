"""What the admin commands know of the node: `AdminContext`, which the composition root fills.

The network side is described by a Protocol, so that this page shows all that commands ask of it, and tests bring a
small stand-in.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from gevent.event import Event

from ccnode.admin.block_access import BlockAccess
from ccnode.admin.events import EventStream
from ccnode.admin.jsonrpc import ActiveCommand
from ccnode.admin.offenders import Offenders
from ccnode.chain.headers import HeaderChain
from ccnode.chain.index import TipChanged
from ccnode.chain.reorgs import ReorgHistory
from ccnode.chain.version_bits import VersionBits
from ccnode.clock import SystemClock
from ccnode.network.routes import Routes
from ccnode.options import Config
from ccnode.peers.addrman import AddrMan
from ccnode.peers.bans import BanList
from ccnode.peers.gossip import AddressGossip
from ccnode.peers.peer import ConnectionType, Peer
from ccnode.peers.time_offsets import TimeOffsets
from ccnode.peers.traffic import Traffic
from ccnode.sync.synchronizer import Synchronizer
from ccnode.wire.address import NetworkAddress

if TYPE_CHECKING:
    from ccnode.admin.commands.utxo import Scan

LONGEST_WAIT: Final = 3600.0
"""Seconds after which a command that waits for the chain answers anyway: its client may be long gone."""


class Connections(Protocol):
    """The connections, as commands see them. A target is what a person types: address or name, with port or not."""

    @property
    def peers(self) -> Mapping[int, Peer]:
        """All connections by number, those still in their handshake too."""
        ...

    @property
    def local_services(self) -> int: ...

    @property
    def user_agent(self) -> str: ...

    @property
    def time_offsets(self) -> TimeOffsets: ...

    @property
    def network_active(self) -> bool: ...

    @property
    def traffic(self) -> Traffic: ...

    @property
    def routes(self) -> Routes:
        """How each network is reached."""
        ...

    @property
    def listening(self) -> Sequence[NetworkAddress]: ...

    @property
    def added_nodes(self) -> Sequence[str]: ...

    @property
    def anchors(self) -> Sequence[tuple[NetworkAddress, str]]:
        """The anchors loaded at the start, each with what became of it."""
        ...

    @property
    def anchors_to_save(self) -> Sequence[NetworkAddress]:
        """Those that a stop at this moment would save."""
        ...

    def count(self, *, inbound: bool) -> int:
        """Connections in one direction, unfinished handshakes included."""
        ...

    def set_network_active(self, active: bool) -> None: ...

    def open_connection(self, address: NetworkAddress, kind: ConnectionType) -> bool:
        """Dial once, as a connection of this type; False if there is none."""
        ...

    def add_node(self, target: str) -> bool:
        """Keep a link to ``target``; False if that is asked for already."""
        ...

    def remove_node(self, target: str) -> bool:
        """Take `add_node` back; False if it was not added."""
        ...

    def try_once(self, target: str) -> None:
        """Dial once; returns after the dial, whatever came of it."""
        ...

    def disconnect_by_id(self, peer_id: int) -> bool: ...

    def disconnect_by_address(self, address: str) -> bool: ...

    def ping_all(self) -> None: ...


class TipWatch:
    """Lets greenlets wait until the active chain is as they want it."""

    def __init__(self, chain: HeaderChain) -> None:
        self._waiting: set[Event] = set()
        self._closed = False
        chain.subscribe(self._tip_changed)

    def _tip_changed(self, _change: TipChanged) -> None:
        for event in self._waiting:
            event.set()

    def wait_until(self, satisfied: Callable[[], bool], seconds: float, steady: Callable[[], float]) -> None:
        """Return once ``satisfied()`` holds, or after ``seconds`` (0: `LONGEST_WAIT`), or when the node stops."""
        end = steady() + (min(seconds, LONGEST_WAIT) or LONGEST_WAIT)
        changed = Event()
        self._waiting.add(changed)
        try:
            while not (self._closed or satisfied()) and (left := end - steady()) > 0:
                changed.wait(left)
                changed.clear()
        finally:
            self._waiting.discard(changed)

    def close(self) -> None:
        """End all waiting, now and from now on."""
        self._closed = True
        for event in self._waiting:
            event.set()


@dataclass(slots=True, kw_only=True)
class AdminContext:
    """One node, as its commands see it."""

    config: Config
    clock: SystemClock
    chain: HeaderChain
    sync: Synchronizer
    net: Connections
    addrman: AddrMan
    gossip: AddressGossip
    bans: BanList
    header_file: Path
    debug_log: Path
    stop: Callable[[], None]
    """Ask the node to stop; returns at once."""
    wake_timers: Callable[[], None]
    """The clock was moved: run what is due now."""
    wait_stored: Callable[[], None]
    """Wait until all that was changed before is in the database: what a person was told is done survives a kill."""
    events: EventStream
    offenders: Offenders
    stats: Callable[[], Mapping[str, object]]
    """The node's own figures, a JSON object, for getnodestats."""
    blocks: BlockAccess | None = None
    """Blocks and coins; None on a node of headers."""
    template_made: bool = False
    """Whether a template for a block was made since the start (getmininginfo)."""
    scan: "Scan | None" = None
    """The look through all coins that is going on (scantxoutset)."""
    active_commands: list[ActiveCommand] = field(default_factory=list)
    started: float = field(init=False)
    """Steady seconds at the start."""
    tip_watch: TipWatch = field(init=False)
    reorgs: ReorgHistory = field(init=False)
    version_bits: VersionBits = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock.steady()
        self.tip_watch = TipWatch(self.chain)
        self.reorgs = ReorgHistory(self.chain, self.clock)
        self.version_bits = VersionBits(self.chain)
