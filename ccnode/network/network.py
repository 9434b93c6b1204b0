"""The network room's front door: starts and stops its parts together, and answers the admin side's questions."""

from collections.abc import Mapping, Sequence
from functools import partial
from socket import socket

from ccnode.errors import StartupError
from ccnode.network.connection import Connection
from ccnode.network.dialer import Dialer
from ccnode.network.hub import Supervisor
from ccnode.network.listener import Listener, bind
from ccnode.network.manager import ConnectionManager
from ccnode.network.outbound import AutomaticOutbound
from ccnode.network.routes import Routes
from ccnode.network.seeding import Seeding
from ccnode.network.timers import Timers
from ccnode.peers.inbound import Entrance
from ccnode.peers.outbound import Anchor
from ccnode.peers.peer import ConnectionType
from ccnode.peers.time_offsets import TimeOffsets
from ccnode.peers.traffic import Traffic
from ccnode.wire.address import NetworkAddress


class Network:
    """Everything with a socket that faces other nodes."""

    def __init__(
        self,
        manager: ConnectionManager,
        dialer: Dialer,
        routes: Routes,
        timers: Timers,
        *,
        outbound: AutomaticOutbound | None,
        seeding: Seeding,
    ) -> None:
        """:param outbound: None where the node makes no connections by itself."""
        self.manager = manager
        self.dialer = dialer
        self.routes = routes
        self.outbound = outbound
        self.seeding = seeding
        self._timers = timers
        self.invites_to: list[NetworkAddress] = []
        """Those of the addresses we listen on that strangers may be told."""
        self._listeners: list[Listener] = []
        self._timer_loop: Supervisor | None = None

    def listen(self, entrances: Sequence[Entrance]) -> None:
        """Bind every entrance and begin to accept; StartupError if one that is not optional cannot be had."""
        for entrance in entrances:
            try:
                sock = bind(entrance.address)
            except StartupError:
                if not entrance.optional:
                    self.close_listeners()
                    raise
                continue
            listener = Listener(sock, partial(self._accepted, entrance=entrance))
            self._listeners.append(listener)
            if entrance.is_public:
                self.invites_to.append(self.routes.locate(listener.address))

    def _accepted(self, sock: socket, remote: NetworkAddress, local: NetworkAddress, entrance: Entrance) -> None:
        self.manager.accept(sock, self.routes.locate(remote), self.routes.locate(local), entrance)

    def start(
        self,
        *,
        connect: Sequence[str],
        addnode: Sequence[str],
        anchors: Sequence[Anchor] = (),
    ) -> None:
        """Begin to dial and to run timers. Targets are as a person wrote them, anchors those of the last run."""
        self._timer_loop = Supervisor("timers", self._timers.run)
        self.dialer.connect(connect)
        for target in addnode:
            self.dialer.add_node(target)
        if self.outbound is not None:
            self.outbound.start(anchors)
        self.seeding.start()

    def close_listeners(self) -> None:
        """Stop accepting."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def close(self) -> None:
        """Stop everything; takes a few seconds at most."""
        self.close_listeners()
        self.seeding.close()
        if self.outbound is not None:
            self.outbound.close()
        self.dialer.close()
        self.manager.close()
        if self._timer_loop is not None:
            self._timer_loop.stop(timeout=0.0)

    # -- for the admin side --------------------------------------------------------------------------------------

    @property
    def peers(self) -> Mapping[int, Connection]:
        return self.manager.peers

    @property
    def local_services(self) -> int:
        return self.manager.local_services

    @property
    def user_agent(self) -> str:
        return self.manager.user_agent

    @property
    def time_offsets(self) -> TimeOffsets:
        return self.manager.time_offsets

    @property
    def network_active(self) -> bool:
        return self.manager.network_active

    @property
    def traffic(self) -> Traffic:
        return self.manager.traffic

    @property
    def listening(self) -> list[NetworkAddress]:
        """The addresses connections are accepted on, with the ports really bound."""
        return [self.routes.locate(listener.address) for listener in self._listeners]

    @property
    def added_nodes(self) -> list[str]:
        return self.dialer.added_nodes

    @property
    def anchors(self) -> list[tuple[NetworkAddress, str]]:
        """The anchors loaded at the start, each with what became of it."""
        loaded = [] if self.outbound is None else self.outbound.anchors
        return [(item.anchor.address, item.outcome) for item in loaded]

    @property
    def anchors_to_save(self) -> list[NetworkAddress]:
        """Those that a stop at this moment would save."""
        return [] if self.outbound is None else [anchor.address for anchor in self.outbound.anchors_to_save()]

    def open_connection(self, address: NetworkAddress, kind: ConnectionType) -> bool:
        """Dial once, as a connection of this type; False if there is none."""
        return self.dialer.dial(address, kind) is not None

    def count(self, *, inbound: bool) -> int:
        return self.manager.count(inbound=inbound)

    def set_network_active(self, active: bool) -> None:
        self.manager.set_network_active(active)

    def add_node(self, target: str) -> bool:
        return self.dialer.add_node(target)

    def remove_node(self, target: str) -> bool:
        return self.dialer.remove_node(target)

    def try_once(self, target: str) -> None:
        self.dialer.try_once(target)

    def disconnect_by_id(self, peer_id: int) -> bool:
        return self.manager.disconnect_by_id(peer_id)

    def disconnect_by_address(self, address: str) -> bool:
        return self.manager.disconnect_by_address(address)

    def ping_all(self) -> None:
        self.manager.ping_all()
