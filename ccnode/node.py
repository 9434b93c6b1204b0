"""The node as a whole: which parts there are, how they are wired, in which order they start and stop.

`Node` takes what must be refused before anything else, the data directory and its lock. `Node.open` loads the chain
and wires the parts; `Node.start` lets the world in; `Node.wait` returns when the end has come: a signal, the ``stop``
command, or a fault of chain or storage. `Node.close` undoes it all in reverse order, after a failed start as well.
"""

import gc
import logging
from collections.abc import Container, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from gevent.event import Event

from ccnode.admin.collector import NodeCollector
from ccnode.admin.commands import REGISTRY
from ccnode.admin.context import AdminContext
from ccnode.admin.events import EventStream
from ccnode.admin.figures import NodeFigures
from ccnode.admin.http_setup import build_http
from ccnode.admin.jsonrpc import Dispatcher
from ccnode.admin.metrics import MetricsServer
from ccnode.admin.offenders import Offenders
from ccnode.admin.server import AdminServer
from ccnode.admin.sources import feed_events
from ccnode.chain.headers import HeaderChain
from ccnode.chain.params import ChainParams
from ccnode.clock import SystemClock
from ccnode.errors import ExitStatus, StartupError
from ccnode.network.asmap_health import CHECK_SECONDS as ASMAP_CHECK_SECONDS
from ccnode.network.asmap_health import log_asmap_health
from ccnode.network.capture import MessageCapture
from ccnode.network.dialer import Dialer
from ccnode.network.dns import HostResolver
from ccnode.network.hub import HubLag, breathe, spawn
from ccnode.network.interfaces import behind_wildcards, interface_addresses
from ccnode.network.manager import ConnectionManager, NetworkRooms
from ccnode.network.network import Network
from ccnode.network.outbound import AutomaticOutbound
from ccnode.network.port_mapping import PortMapping, port_to_map
from ccnode.network.proxies import build_routes
from ccnode.network.timers import Timeline, Timers
from ccnode.options import Config
from ccnode.peers.bans import BanList
from ccnode.peers.gossip import AddressGossip
from ccnode.peers.handshake import Handshake
from ccnode.peers.inbound import InboundLimits, InboundPolicy
from ccnode.peers.keepalive import Keepalive
from ccnode.peers.local_addresses import LOCAL_BIND, LOCAL_INTERFACE
from ccnode.peers.misbehaviour import Discouragement, Misbehaviour, Unwanted
from ccnode.peers.netgroup import NetGroupManager
from ccnode.peers.outbound import OutboundPolicy, outbound_slots
from ccnode.peers.peer import PeerEvent
from ccnode.peers.permissions import Whitelist
from ccnode.peers.subnet import Subnet
from ccnode.rng import system_rng
from ccnode.settings import (
    addrman_key,
    build_seeding,
    build_whitelist,
    entrances,
    load_asmap,
    local_addresses,
    metrics_address,
    upload_target,
    user_agent,
    validates_blocks,
)
from ccnode.storage.addrman_store import AddrManStore
from ccnode.storage.anchors import save_anchors, take_anchors
from ccnode.storage.bans import BanTable
from ccnode.storage.database import Database
from ccnode.storage.datadir import DataDir
from ccnode.storage.header_file import HeaderFile, HeaderFileKind, salvage
from ccnode.storage.state import load_invalid_headers, replace_invalid_headers
from ccnode.sync.extra import ExtraPeers
from ccnode.sync.synchronizer import Synchronizer
from ccnode.wire.address import NetworkAddress
from ccnode.wire.factory import MessageFactory
from ccnode.wire.protocol import ServiceFlags

if TYPE_CHECKING:
    from ccnode.blocks import BlockSide

log = logging.getLogger("ccnode")

SYNC_SECONDS = 1.0
"""Longest time between writing headers and forcing them onto the disk."""

LIMITED_PEER_BLOCKS = 144
"""With a tip younger than so many block intervals, peers that keep only recent blocks are good enough."""

GC_THRESHOLDS = (700, 10, 1000)
"""Full collections are made rare: with thousands of peers one holds the hub for 50 ms."""


class Node:
    """One node on one data directory."""

    def __init__(self, config: Config, params: ChainParams) -> None:
        """Take the data directory. StartupError if it cannot be used or another node has it."""
        self.config = config
        self.params = params
        self.clock = SystemClock()
        if config.mocktime is not None:
            self.clock.set_mock_time(config.mocktime)
        self.exit_status = ExitStatus.OK
        self.blocks: BlockSide | None = None
        self._stop_requested = Event()
        self._closing = ExitStack()
        self.datadir = DataDir(config.folder)
        self._closing.callback(self.datadir.close)

    def open(self) -> None:
        """Load the chain and wire all parts. StartupError or StorageError if a store is unusable."""
        self.routes = build_routes(self.config)
        self.http = build_http(self.config, self.params)
        if self.http is not None:
            self._closing.callback(self.http.close)  # if the start fails; see also `start`
        self._open_stores()
        if validates_blocks(self.config, self.params):
            self.blocks = self._open_blocks()
        self.timers = Timers(self.clock)
        self._wire_peers()
        self._wire_admin()
        self.header_file.on_append = self._headers_appended

    def _wire_peers(self) -> None:
        """Everything from the chain to the sockets."""
        config, clock, rng = self.config, self.clock, system_rng()
        self.discouragement = Discouragement()
        self.misbehaviour = Misbehaviour(self.discouragement, self.bans if config.misbehavior == "classic" else None)
        unwanted = Unwanted(self.discouragement, self.bans)
        manager = self._connection_manager(self._rooms(unwanted))
        resolver = HostResolver(self.params.default_port, names=config.dns)
        self._closing.callback(resolver.close)
        dialer = Dialer(manager, self.addrman, resolver, self.routes, clock, rng, timeout=config.timeout / 1000)
        outbound = self._automatic_outbound(dialer, manager, unwanted) if config.automatic else None
        seeding = build_seeding(config, self.params, self.addrman, dialer, manager, self.routes, clock, rng)
        self.network = Network(manager, dialer, self.routes, self.timers, outbound=outbound, seeding=seeding)
        manager.set_network_active(config.networkactive)
        self.discouragement.on_add(lambda peer: manager.drop(Subnet.single(peer), "discouraged", spare_chosen=True))
        self.bans.on_ban(lambda ban: manager.drop(ban.subnet, "banned", spare_chosen=not ban.manual))

    def _rooms(self, unwanted: Unwanted) -> NetworkRooms:
        """Those who decide about peers and their messages."""
        config, clock, rng = self.config, self.clock, system_rng()
        blocks = self.blocks
        services = int(blocks.services) if blocks is not None else 0
        if config.services is not None:
            services = config.services
        self.sync = Synchronizer(
            self.chain,
            self.misbehaviour,
            clock,
            rng,
            announces=blocks is not None or bool(services & ServiceFlags.NETWORK),
            blocks=None if blocks is None else blocks.intake,
            serving=None if blocks is None else blocks.serving(self.misbehaviour, self._upload_target_reached),
        )
        self.gossip = AddressGossip(
            self.addrman,
            clock,
            rng,
            networks=self.routes.reachable,
            unwanted=unwanted,
            local=local_addresses(config, self.params.default_port, self.routes, rng),
            services=services,
            listens=config.listen,
            is_ibd=self.chain.is_ibd,
        )
        handshake = Handshake(
            services=services,
            user_agent=user_agent(config.uacomment),
            clock=clock,
            rng=rng,
            our_height=self.height,
            limited_peers_suffice=self._limited_peers_suffice,
            is_proxy=self.routes.is_proxy,
        )
        whitelist = build_whitelist(config)
        return NetworkRooms(
            handshake=handshake,
            keepalive=Keepalive(clock, rng, config.peertimeout, config.pinginterval),
            misbehaviour=self.misbehaviour,
            sync=self.sync,
            gossip=self.gossip,
            addrman=self.addrman,
            inbound=self._inbound_policy(handshake, self.discouragement, whitelist),
            whitelist=whitelist,
        )

    def _connection_manager(self, rooms: NetworkRooms) -> ConnectionManager:
        config, params = self.config, self.params
        self.factory = MessageFactory(params.header_format.size, params.headers_carry_tx_count)
        return ConnectionManager(
            magic=params.magic,
            factory=self.factory,
            rooms=rooms,
            clock=self.clock,
            timers=self.timers,
            fatal=self._fault,
            max_send_buffer=config.maxsendbuffer * 1000,
            max_receive_buffer=config.maxreceivebuffer * 1000,
            max_upload=upload_target(config),
            capture=self._message_capture(),
            log_addresses=config.logips,
        )

    def _wire_admin(self) -> None:
        """What people and programs on this machine see of the node."""
        self.figures = NodeFigures(
            network=self.network,
            chain=self.chain,
            addrman=self.addrman,
            bans=self.bans,
            discouragement=self.discouragement,
            misbehaviour=self.misbehaviour,
            timers=self.timers,
            lag=HubLag(),
            blocks=None if self.blocks is None else self.blocks.figures,
        )
        self._closing.callback(self.figures.lag.stop)
        self.events, self.offenders = EventStream(self.clock), Offenders(self.clock)
        manager = self.network.manager
        manager.on(PeerEvent.DISCONNECTED, self.offenders.note)
        feed_events(self.events, manager, self.chain, self.bans, self.factory)
        self._context = self._admin_context()
        self.dispatcher = Dispatcher(REGISTRY, self._context, self._fault)
        self.admin = AdminServer(self.datadir.socket, self.dispatcher.answer)

    def start(self) -> None:
        """Answer commands, accept and make connections. StartupError if an address cannot be had."""
        config = self.config
        self._closing.callback(self.network.close)
        self.network.listen(entrances(config, self.params.default_port))
        for address in self.network.invites_to:
            self.gossip.local.add(address, LOCAL_BIND)
        for address in behind_wildcards(self.network.invites_to, interface_addresses()):
            self.gossip.local.add(self.routes.locate(address), LOCAL_INTERFACE)
        self._map_port()
        self._closing.callback(self.admin.close)
        if self.http is not None:
            self._closing.callback(self.http.close)
            self.http.serve(self.dispatcher)
        self._closing.callback(self._context.tip_watch.close)
        self.admin.start()
        metrics = metrics_address(config)
        if metrics is not None:
            self._closing.callback(MetricsServer(metrics, NodeCollector(self.figures, self.params.name)).close)
        self._save_addresses()
        self._sweep_bans()
        self._check_asmap()
        anchors = self.database.call(take_anchors) if config.automatic else []
        self._closing.callback(self._save_anchors)
        if self.blocks is not None:
            self.blocks.start()
        self.network.start(connect=config.connect, addnode=config.addnode, anchors=anchors)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)

    def _map_port(self) -> None:
        port = port_to_map(self.network.invites_to)
        if self.config.natpmp and port is not None:
            mapping = PortMapping(port, self.gossip.local, self.clock, system_rng())
            self._closing.callback(mapping.close)
            mapping.start()

    def stop(self) -> None:
        """Ask the node to end; returns at once, and may be called from anywhere on the hub."""
        self._stop_requested.set()
        if self.blocks is not None:
            self.blocks.engine.interrupt()

    def is_writing(self) -> bool:
        """Whether the coins are being written, for which a stop waits."""
        return self.blocks is not None and self.blocks.is_writing

    def wait(self) -> ExitStatus:
        """Return when the node is to end, with what the process should end with."""
        self._stop_requested.wait()
        return self.exit_status

    def close(self) -> None:
        """Stop everything that runs and write what is left to write."""
        self._closing.close()

    # -- stores --------------------------------------------------------------------------------------------------

    def _open_stores(self) -> None:
        params, path = self.params, self.datadir.headers
        kind = HeaderFileKind(params.name, params.magic, params.header_format.name, params.genesis, params.genesis_hash)
        if self.config.reindex_headers:
            salvage(path, kind)
        self.header_file = HeaderFile.open(path, kind)
        self._closing.callback(self.header_file.close)
        self.database = Database(self.datadir.database, f"{params.name} {params.magic.hex()}", self._fault)
        self._closing.callback(self.database.close)
        self.chain = HeaderChain(params, self.header_file, self.clock, max_tip_age=self.config.maxtipage)
        gc.disable()
        try:
            self.chain.load(self.database.call(load_invalid_headers), between=breathe)
        finally:
            gc.enable()
        self.chain.on_marks = self._store_marks
        self.addrman_store = AddrManStore(self.database)
        self.addrman = self.addrman_store.open(
            NetGroupManager(load_asmap(self.config), group_unroutable=self.config.allowunroutable),
            self.clock,
            system_rng(),
            allow_unroutable=self.config.allowunroutable,
            key=addrman_key(self.config),
        )
        bans = BanTable(self.database)
        self.bans = BanList(bans, self.clock, default_seconds=self.config.bantime, bans=bans.load())
        self._closing.callback(self._last_writes)

    def _open_blocks(self) -> "BlockSide":
        try:
            from ccnode.blocks import BlockSide  # with its libraries, which a node of headers does without
        except ModuleNotFoundError as error:
            raise StartupError(
                f"blocks need the package {error.name}: pip install 'ccnode[blocks]', or run with --sync=headers"
            ) from error

        blocks = BlockSide(
            self.config,
            self.chain,
            self.datadir.path,
            self.clock,
            sync_headers=self.header_file.sync,
            on_fault=self._fault,
        )
        self._closing.callback(blocks.close)
        return blocks

    def _upload_target_reached(self) -> bool:
        return self.network.manager.traffic.upload_target.reached(historical=True)

    def _last_writes(self) -> None:
        self.addrman_store.flush()
        self.database.post(self._sync_headers)

    def _sync_headers(self, _db: object) -> None:
        """On the database's worker: force the headers onto the disk."""
        self.header_file.sync()

    def _store_marks(self, marks: Sequence[bytes]) -> None:
        self.database.post(self._sync_headers)  # a mark must never outlive the header it is about
        self.database.post(replace_invalid_headers, marks)

    def _headers_appended(self) -> None:
        due = self.clock.steady() + SYNC_SECONDS
        self.timers.arm(Timeline.STEADY, due, "sync headers", lambda: self.database.post(self._sync_headers))

    def _save_addresses(self) -> None:
        due = self.clock.scheduler() + self.config.addrsaveinterval
        self.timers.arm(Timeline.SCHEDULER, due, "save addresses", self._save_addresses)
        self.addrman_store.flush()

    def _sweep_bans(self) -> None:
        due = self.clock.scheduler() + self.config.bansweepinterval
        self.timers.arm(Timeline.SCHEDULER, due, "sweep bans", self._sweep_bans)
        self.bans.sweep()

    def _check_asmap(self) -> None:
        if self.addrman.groups.asmap is not None:
            spawn("asmap health", log_asmap_health, self.addrman)
            due = self.clock.scheduler() + ASMAP_CHECK_SECONDS
            self.timers.arm(Timeline.SCHEDULER, due, "check asmap", self._check_asmap)

    def _fault(self, error: BaseException) -> None:
        """Chain or storage failed: the node must not go on."""
        if self.exit_status is ExitStatus.OK:
            log.error("the node stops: %s", error)
            self.exit_status = ExitStatus.FAULT
        self.stop()

    # -- what the parts ask of the whole -------------------------------------------------------------------------

    def height(self) -> int:
        """Of the tip."""
        return self.chain.index.height(self.chain.index.tip)

    def _message_capture(self) -> MessageCapture | None:
        if not self.config.capturemessages:
            return None
        capture = MessageCapture(self.datadir.path, self.clock)
        self._closing.callback(capture.close)
        return capture

    def _fetch_block(self, entry: int, peer_id: int) -> str | None:
        return self.sync.request_block(peer_id, entry)

    def _limited_peers_suffice(self) -> bool:
        age = self.clock.now() - self.chain.index.time(self.chain.index.tip)
        return age < LIMITED_PEER_BLOCKS * self.params.spacing

    def _inbound_policy(
        self, handshake: Handshake, discouragement: Discouragement, whitelist: Whitelist
    ) -> InboundPolicy:
        config = self.config
        return InboundPolicy(
            InboundLimits(
                total=max(0, config.maxconnections - outbound_slots(config.maxconnections)),
                per_address=config.maxinboundperip,
                per_netgroup=config.maxinboundpernetgroup,
            ),
            bans=self.bans,
            discouragement=discouragement,
            whitelist=whitelist,
            netgroup=self.addrman.groups.group,
            is_desirable=handshake.is_desirable,
            rng=system_rng(),
        )

    def _automatic_outbound(
        self, dialer: Dialer, manager: ConnectionManager, unwanted: Container[NetworkAddress]
    ) -> AutomaticOutbound:
        config, clock, rng = self.config, self.clock, system_rng()
        policy = OutboundPolicy(
            self.addrman,
            clock,
            rng,
            max_connections=config.maxconnections,
            networks=self.routes.reachable,
            limited_peers_suffice=self._limited_peers_suffice,
            refuses=unwanted.__contains__,
            is_ours=self.gossip.local.__contains__,
        )
        extra = ExtraPeers(self.chain, clock, self.sync.downloading)
        return AutomaticOutbound(dialer, manager, policy, extra, self.sync, self.timers, clock, rng)

    def _save_anchors(self) -> None:
        if self.network.outbound is not None:
            self.database.post(save_anchors, self.network.outbound.anchors_to_save())

    def _admin_context(self) -> AdminContext:
        return AdminContext(
            config=self.config,
            clock=self.clock,
            chain=self.chain,
            sync=self.sync,
            net=self.network,
            addrman=self.addrman,
            gossip=self.gossip,
            bans=self.bans,
            header_file=self.datadir.headers,
            debug_log=self.datadir.debug_log,
            stop=self.stop,
            wake_timers=self.timers.clock_was_set,
            wait_stored=self.database.wait,
            events=self.events,
            offenders=self.offenders,
            stats=self.figures.report,
            blocks=None if self.blocks is None else self.blocks.for_commands(self._fetch_block),
        )
