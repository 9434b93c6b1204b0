"""What the configuration means: the values of `Config` as objects of the parts that use them.

Every function here raises StartupError, with Core's sentence where clients know one, for a value that only its part
can judge.
"""

import logging

from ccnode import __version__
from ccnode.admin.http_setup import http_access, http_addresses
from ccnode.chain.params import ChainParams
from ccnode.clock import Clock
from ccnode.errors import ExitStatus, StartupError
from ccnode.network.dialer import Dialer
from ccnode.network.dns import DNS_PORT, SeedResolver
from ccnode.network.manager import ConnectionManager
from ccnode.network.proxies import build_routes
from ccnode.network.routes import Routes
from ccnode.network.seeding import Seeding
from ccnode.options import UPLOAD_TARGET_UNIT, Config, parse_bytes
from ccnode.peers.addrman import AddrMan
from ccnode.peers.addrman_tables import KEY_SIZE
from ccnode.peers.asmap import MAX_ASMAP_BYTES, Asmap
from ccnode.peers.bootstrap import DnsSeeds, FixedSeeds, SeedNodes
from ccnode.peers.inbound import Entrance
from ccnode.peers.local_addresses import LOCAL_MANUAL, LocalAddresses
from ccnode.peers.outbound import outbound_slots
from ccnode.peers.peer import ConnectionType
from ccnode.peers.permissions import Whitelist, implicit, parse_whitebind, parse_whitelist
from ccnode.rng import Rng, system_rng
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.protocol import MAX_SUBVERSION_LENGTH

log = logging.getLogger("ccnode")

DETERMINISTIC_KEY = (1).to_bytes(KEY_SIZE, "little")
"""The key of ``test=addrman``, Core's: its tests know where an address must be."""


def check(config: Config, params: ChainParams) -> None:
    """Judge every value that only its part can judge, in the order of a start; StartupError for the first bad one.

    Opens no socket and writes nothing. A proxy's name is looked up.
    """
    routes = build_routes(config)
    if config.server:
        http_access(config)
        http_addresses(config, params)
    load_asmap(config)
    build_whitelist(config)
    local_addresses(config, params.default_port, routes, system_rng())
    user_agent(config.uacomment)
    dns_servers(config)
    metrics_address(config)
    for name in ("blockfilterindex", "peerbloomfilters"):
        if getattr(config, name) and not validates_blocks(config, params):
            raise StartupError(f"{name} is for a node with blocks: set sync=blocks", ExitStatus.CONFIG)


def validates_blocks(config: Config, params: ChainParams) -> bool:
    """Whether the node is to download, validate and serve blocks, and not to know their headers only."""
    return config.sync == "blocks" or (config.sync is None and not params.headers_only)


def load_asmap(config: Config) -> Asmap | None:
    """The map of the configuration; StartupError if it cannot be used."""
    if config.asmap is None:
        return None
    path = config.folder / config.asmap
    try:
        with path.open("rb") as file:
            return Asmap(file.read(MAX_ASMAP_BYTES + 1))
    except OSError as error:
        raise StartupError(f"Could not find asmap file {path}: {error.strerror}", ExitStatus.CONFIG) from error
    except ValueError as error:
        raise StartupError(f"Could not parse asmap file {path}: {error}", ExitStatus.CONFIG) from error


def addrman_key(config: Config) -> bytes | None:
    """The key that places addresses, where a test wants to know it; None for a secret one."""
    return DETERMINISTIC_KEY if "addrman" in config.test else None


def upload_target(config: Config) -> int:
    """Bytes to upload in a day, 0 for any number."""
    return parse_bytes(config.maxuploadtarget, UPLOAD_TARGET_UNIT)


def metrics_address(config: Config) -> NetworkAddress | None:
    """Where to serve metrics; StartupError if the configuration names no address of a machine."""
    if config.metrics is None:
        return None
    try:
        address = NetworkAddress.parse(config.metrics)
    except ValueError as error:
        raise StartupError(f"metrics: {error}", ExitStatus.CONFIG) from error
    if address.network not in (Network.IPV4, Network.IPV6) or not address.port:
        raise StartupError(f"metrics: '{config.metrics}' is no IP address and port", ExitStatus.CONFIG)
    return address


def user_agent(comments: tuple[str, ...]) -> str:
    """What we call ourselves (BIP14), at most 256 bytes: ``/ccnode:0.1.0(comment; comment)/``."""
    text = f"/ccnode:{__version__}{'(' + '; '.join(comments) + ')' if comments else ''}/"
    if len(text) > MAX_SUBVERSION_LENGTH:
        raise StartupError(
            f"Total length of network version string ({len(text)}) exceeds maximum length "
            f"({MAX_SUBVERSION_LENGTH}). Reduce the number or size of uacomments.",
            ExitStatus.CONFIG,
        )
    return text


def build_seeding(
    config: Config,
    params: ChainParams,
    addrman: AddrMan,
    dialer: Dialer,
    manager: ConnectionManager,
    routes: Routes,
    clock: Clock,
    rng: Rng,
) -> Seeding:
    """Where the first addresses may come from; StartupError if a ``dnsserver`` is no address."""
    seeds = (config.signetseednode or params.dns_seeds) if config.dnsseed else ()
    slots = outbound_slots(config.maxconnections)
    seed_nodes = config.seednode if config.automatic else ()
    if config.seednode and not config.automatic:
        log.warning("-seednode is ignored when -connect is used")

    def full_relay_peers() -> int:
        full_relay = ConnectionType.OUTBOUND_FULL_RELAY
        return sum(peer.connection_type is full_relay for peer in manager.handshaked_peers())

    def slot_free(pending: int) -> bool:
        return manager.count(inbound=False) - manager.count_of(ConnectionType.MANUAL) + pending < slots

    dns_seeds = DnsSeeds(
        seeds,
        addrman,
        clock,
        rng,
        force=config.forcednsseed,
        after_seednodes=bool(seed_nodes),
        full_relay_peers=full_relay_peers,
        network_active=lambda: manager.network_active,
    )
    fixed_seeds = FixedSeeds(
        fixed_seed_addresses(config, params),
        addrman,
        clock,
        rng,
        networks=routes.reachable,
        others_may_help=lambda: bool(seeds or seed_nodes or dialer.added_nodes),
    )
    resolver = SeedResolver(
        params.default_port,
        dns_servers(config),
        networks=routes.reachable,
        allow_unroutable=config.allowunroutable,
    )
    return Seeding(
        resolver,
        dialer,
        dns_seeds=dns_seeds if seeds else None,
        seed_nodes=SeedNodes(seed_nodes, addrman, clock, rng, full_relay_peers=full_relay_peers),
        fixed_seeds=fixed_seeds,
        slot_free=slot_free,
        name_proxy=routes.name_proxy is not None,
    )


def fixed_seed_addresses(config: Config, params: ChainParams) -> list[NetworkAddress]:
    """The list that came with the program, if it is to be used; CJDNS addresses are what they were drawn as."""
    if not (config.fixedseeds and config.automatic):
        return []
    return [NetworkAddress.parse(text, params.default_port, cjdns=True) for text in params.fixed_seeds]


def dns_servers(config: Config) -> list[NetworkAddress]:
    """The name servers for DNS seeds; StartupError if one is not given as an address."""
    try:
        return [NetworkAddress.parse(text, DNS_PORT) for text in config.dnsserver]
    except ValueError as error:
        raise StartupError(f"dnsserver: {error}", ExitStatus.CONFIG) from error


def local_addresses(config: Config, default_port: int, routes: Routes, rng: Rng) -> LocalAddresses:
    """What the configuration says about our own addresses; StartupError if an ``externalip`` is none."""
    port = listening_port(config, default_port)
    local = LocalAddresses(rng, port=port, networks=routes.reachable, discover=config.discover)
    for text in config.externalip:
        try:
            address = routes.locate(NetworkAddress.parse(text, port))
        except ValueError as error:
            raise StartupError(f"Cannot resolve -externalip address: '{text}'", ExitStatus.CONFIG) from error
        if not local.add(address, LOCAL_MANUAL):
            log.warning("externalip %s is told to nobody: strangers cannot reach it, or onlynet excludes it", text)
    return local


def listening_port(config: Config, default_port: int) -> int:
    """The port that others are told where nobody knows better: the first that ``bind`` or ``whitebind`` names.

    Otherwise ``port``. Core: ``GetListenPort``.
    """
    bound = [entrance for entrance in entrances(config, default_port) if entrance.is_public]
    return next((entrance.address.port for entrance in bound if entrance.address.port), config.port or default_port)


def entrances(config: Config, default_port: int) -> list[Entrance]:
    """Where to listen. Without ``bind`` and ``whitebind`` all of IPv4, and of IPv6 if the machine has it."""
    if not config.listen:
        return []
    port = default_port if config.port is None else config.port
    if config.bind or config.whitebind:
        return [*(parse_bind(text, port) for text in config.bind), *map(entrance_with_permissions, config.whitebind)]
    return [
        Entrance(address=NetworkAddress.parse("0.0.0.0", port)),
        Entrance(address=NetworkAddress.parse("::", port), optional=True),
    ]


def parse_bind(text: str, port: int) -> Entrance:
    """One ``bind``, ``ADDR[:PORT]`` with an optional ``=onion``; StartupError if it is none."""
    try:
        address = NetworkAddress.parse(text.removesuffix("=onion"), port)
    except ValueError as error:
        raise StartupError(f"bind: {error}", ExitStatus.CONFIG) from error
    return Entrance(address=address, onion=text.endswith("=onion"))


def entrance_with_permissions(text: str) -> Entrance:
    """One ``whitebind``; StartupError if it is none."""
    try:
        entry = parse_whitebind(text)
    except ValueError as error:
        raise StartupError(str(error), ExitStatus.CONFIG) from error
    return Entrance(address=entry.address, permissions=entry.permissions)


def build_whitelist(config: Config) -> Whitelist:
    """The ``whitelist`` of the configuration; StartupError if an entry is none."""
    without_words = implicit(relay=config.whitelistrelay, force_relay=config.whitelistforcerelay)
    try:
        return Whitelist(map(parse_whitelist, config.whitelist), without_words)
    except ValueError as error:
        raise StartupError(str(error), ExitStatus.CONFIG) from error
