"""What a round consists of, built from the options: routes, lanes, guard, visitor, and where to begin.

Each network gets a lane if there is a way to it: IPv4 always, IPv6 if this machine has a route to its internet, Tor
through a proxy, CJDNS if a person says that this machine is on it. I2P has none, for want of a maintained package.
"""

import gc
import random
import socket
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from typing import Final

import gevent

from ccnode.chain.headers import HeaderChain
from ccnode.chain.params import ChainParams
from ccnode.clock import SystemClock
from ccnode.crawler.audit import WINDOW, TipAudit
from ccnode.crawler.frontier import Frontier
from ccnode.crawler.guard import Guard, OptOuts
from ccnode.crawler.options import Options
from ccnode.crawler.table import AddressTable
from ccnode.crawler.visit import Visitor
from ccnode.errors import ConfigError, ExitStatus, StartupError
from ccnode.network.dns import HostResolver, SeedResolver
from ccnode.network.hub import spawn
from ccnode.network.proxies import build_routes
from ccnode.network.routes import Routes
from ccnode.networks import network_params
from ccnode.options import Config
from ccnode.peers.bootstrap import filtered_name
from ccnode.peers.netgroup import NetGroupManager
from ccnode.rng import system_rng
from ccnode.settings import dns_servers, fixed_seed_addresses, load_asmap, user_agent
from ccnode.storage.datadir import DataDir
from ccnode.storage.header_file import HeaderFile, HeaderFileKind
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import pack_address, unpack_address

LANES: Final[Mapping[Network, int]] = {Network.ONION: 256, Network.CJDNS: 64}
"""Dials at a time in networks where each takes long and is somebody else's work. IPv4 and IPv6: ``concurrency``."""

IPV6_PROBE: Final = ("2001:500:2f::f", 53)
"""A root name server. Nothing is sent to it; the system is asked for the way there."""

PROXY_SECONDS: Final = 60.0
"""For an answer of a proxy: Tor takes up to half a minute to reach an onion service, and gives up after two."""


class Parts:
    """Everything that a round is made of but the store."""

    def __init__(self, options: Options, config: Config) -> None:
        """StartupError for options that make no sense, ConfigError among them."""
        self.options = options
        self.config = config
        self.params = network_params(config)
        self.clock = SystemClock()
        self.routes = _patient(build_routes(config))
        self.user_agent = _user_agent(options.contact)
        self.asmap = load_asmap(config)
        self.opt_outs = _load_opt_outs(options)
        self.lanes = self._find_lanes()
        self.audit, self.audit_note = load_audit(config, self.params)

    def _find_lanes(self) -> dict[Network, int]:
        lanes = {network: LANES.get(network, self.options.concurrency) for network in self.routes.reachable}
        proxied = Network.IPV6 in self.routes.proxies
        if Network.IPV6 in lanes and not (proxied or self.config.allowunroutable or _has_ipv6()):
            del lanes[Network.IPV6]
        return lanes

    def frontier(self) -> Frontier:
        """An empty one."""
        groups = NetGroupManager(self.asmap)
        guard = Guard(self.lanes, self.opt_outs, allow_unroutable=self.config.allowunroutable)
        system = (lambda key: groups.mapped_as(unpack_address(key))) if self.asmap is not None else (lambda _key: 0)
        table = AddressTable(self.options.max_addresses)
        # Chance decides about order alone here: it needs to be fast, and nobody gains by foreseeing it.
        rng = random.Random(system_rng().getrandbits(64))
        return Frontier(table, guard, rng, self.clock.now, lanes=self.lanes, autonomous_system=system)

    def visitor(self) -> Visitor:
        return Visitor(self.params, self.routes, self.clock, system_rng(), user_agent=self.user_agent, audit=self.audit)

    # -- where to begin ------------------------------------------------------------------------------------------

    def resolve(self, targets: Iterable[str]) -> list[bytes]:
        """Keys of the hosts that a person named. ConfigError for a name that nobody knows."""
        keys = []
        with closing(HostResolver(self.params.default_port, names=self.config.dns)) as resolver:
            for target in targets:
                try:
                    keys += [pack_address(self.routes.locate(address)) for address in resolver.addresses(target)]
                except (OSError, ValueError) as error:
                    raise ConfigError(f"{target}: {error}") from error
        return keys

    def fixed_seeds(self) -> list[bytes]:
        """The list that came with the program."""
        return [pack_address(address) for address in fixed_seed_addresses(self.config, self.params)]

    @property
    def dns_seeds(self) -> tuple[str, ...]:
        """Those to ask; none where names are left to a proxy, since the question tells who asks."""
        if not self.config.dnsseed or self.routes.name_proxy is not None:
            return ()
        return self.config.signetseednode or self.params.dns_seeds

    def ask_dns(self) -> tuple[list[bytes], dict[str, str]]:
        """Keys that the DNS seeds give, and by seed why one gave none."""
        resolver = SeedResolver(
            self.params.default_port,
            dns_servers(self.config),
            networks=[network for network in self.lanes if network in (Network.IPV4, Network.IPV6)],
            allow_unroutable=self.config.allowunroutable,
        )
        found: list[bytes] = []
        failures: dict[str, str] = {}

        def ask(seed: str) -> None:
            addresses: list[NetworkAddress] = []
            for name in (filtered_name(seed), seed):
                try:
                    addresses = resolver.addresses(name)
                    break
                except OSError as error:
                    failures[seed] = str(error)
            if addresses:
                failures.pop(seed, None)
                found.extend(map(pack_address, addresses))

        gevent.joinall([spawn(f"dns {seed}", ask, seed) for seed in self.dns_seeds], raise_error=True)
        return found, failures


def _patient(routes: Routes) -> Routes:
    """The same ways, with more time for proxies: a node may try elsewhere, a census may not."""
    proxies = {network: replace(proxy, answer_seconds=PROXY_SECONDS) for network, proxy in routes.proxies.items()}
    return replace(routes, proxies=proxies)


def _user_agent(contact: str | None) -> str:
    """An honest one: what this is, and how to reach who runs it."""
    comments = ("crawler",) if contact is None else ("crawler", contact)
    if not all(comment.isascii() and comment.isprintable() and not set(comment) & set("/()") for comment in comments):
        raise ConfigError(f"contact: {contact!r} must be printable ASCII without / and brackets")
    return user_agent(comments)


def _load_opt_outs(options: Options) -> OptOuts:
    if options.opt_out is None:
        return OptOuts()
    try:
        return OptOuts(options.opt_out.read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError) as error:
        raise ConfigError(f"opt-out list {options.opt_out}: {error}") from error


def _has_ipv6() -> bool:
    """Whether the system knows a way to the IPv6 internet."""
    with suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.connect(IPV6_PROBE)
        return True
    return False


def load_audit(config: Config, params: ChainParams) -> tuple[TipAudit | None, str]:
    """What verifies heights, from the node's data directory, and a sentence about it."""
    path = config.folder / "blocks" / "headers.dat"
    if not path.exists():
        return None, f"no: there are no headers in {config.folder}; heights are what nodes claim"
    try:
        datadir = DataDir(config.folder)
    except StartupError as error:
        if error.exit_status is ExitStatus.LOCKED:
            return None, f"no: a node is running on {config.folder}; stop it, or copy its blocks/ to another --datadir"
        raise
    kind = HeaderFileKind(params.name, params.magic, params.header_format.name, params.genesis, params.genesis_hash)
    with closing(datadir), closing(HeaderFile.open(path, kind)) as file:
        chain = HeaderChain(params, file, SystemClock())
        gc.disable()
        try:
            chain.load()
        finally:
            gc.enable()
        height = chain.index.height(chain.index.tip)
        entries = map(chain.index.active_at, range(max(0, height - WINDOW + 1), height + 1))
        hashes = [chain.index.hash(n) for n in entries if n is not None]
        note = f"against headers up to height {height}"
        if chain.is_ibd():
            note += ", which are old: run the node first"
    return TipAudit(params, hashes, height), note
