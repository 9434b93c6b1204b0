"""What the options say about the way to other nodes: ``onlynet``, ``proxy``, ``onion``, ``cjdnsreachable``.

``proxy`` is for all networks and for names, or with ``=NETWORK`` behind it for one; later ones replace earlier ones,
and ``0`` takes back. ``onion`` decides about Tor whatever ``proxy`` says. A network that nothing leads to is left
out of automatic connections and of gossip, but who names it in ``onlynet`` is told so at the start: StartupError, with
Core's sentence (``init.cpp``), for that and for every proxy that cannot be one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ccnode.errors import ExitStatus, StartupError
from ccnode.network.dns import HostResolver
from ccnode.network.routes import DEFAULT_PROXY_PORT, MAX_UNIX_PATH, Proxy, Routes
from ccnode.options import Config
from ccnode.wire.address import Network, split_host_port

_NAMES: Final = Network.INTERNAL  # stands for names that are not looked up

_MEANT_BY: Final[Mapping[str, tuple[Network, ...]]] = {
    "": (Network.IPV4, Network.IPV6, Network.ONION, Network.CJDNS, _NAMES),
    "ipv4": (Network.IPV4, _NAMES),
    "ipv6": (Network.IPV6, _NAMES),
    "onion": (Network.ONION,),
    "tor": (Network.ONION,),
    "cjdns": (Network.CJDNS,),
}
"""What goes through a ``proxy``, by what stands behind its ``=``."""

_UNREACHABLE: Final = {
    Network.ONION: "Tor (-onlynet=onion) but the proxy for reaching the Tor network is not provided: none of -proxy, "
    "-onion or -listenonion is given",
    Network.I2P: "i2p (-onlynet=i2p) but -i2psam is not provided",
    Network.CJDNS: "CJDNS (-onlynet=cjdns) but -cjdnsreachable is not provided",
}
_FORBIDDEN: Final = "Tor (-onlynet=onion) but the proxy for reaching the Tor network is explicitly forbidden: -onion=0"


@dataclass(frozen=True, slots=True)
class _Given:
    """A proxy as somebody wrote it."""

    option: str
    text: str


def build_routes(config: Config) -> Routes:
    """How each network is reached. Looks up the names of proxies."""
    proxies = {network: _find_proxy(given, config) for network, given in _given_proxies(config).items()}
    name_proxy = proxies.pop(_NAMES, None)
    return Routes(reachable=_reachable(config, tor=Network.ONION in proxies), proxies=proxies, name_proxy=name_proxy)


def _reachable(config: Config, *, tor: bool) -> frozenset[Network]:
    usable = {Network.IPV4, Network.IPV6}
    if tor:
        usable.add(Network.ONION)
    if config.cjdnsreachable:
        usable.add(Network.CJDNS)
    wanted = frozenset(map(Network, config.onlynet))
    for network in wanted - usable:
        forbidden = network is Network.ONION and config.onion == "0"
        why = _FORBIDDEN if forbidden else _UNREACHABLE[network]
        raise StartupError(f"Outbound connections restricted to {why}", ExitStatus.CONFIG)
    return wanted or frozenset(usable)


def _given_proxies(config: Config) -> dict[Network, _Given]:
    """By network, the proxy that the options leave it."""
    found: dict[Network, _Given] = {}
    for text in config.proxy:
        address, equals, network = text.rpartition("=") if "=" in text else (text, "", "")
        if equals and not network:
            message = f"Invalid -proxy address or hostname, ends with '=': '{text}'"
            raise StartupError(message, ExitStatus.CONFIG)
        if network.lower() not in _MEANT_BY:
            raise StartupError(f"Unrecognized network in -proxy='{text}': '{network}'", ExitStatus.CONFIG)
        found.update(dict.fromkeys(_MEANT_BY[network.lower()], _Given("proxy", address)))
    if config.onion:
        found[Network.ONION] = _Given("onion", config.onion)
    return {network: given for network, given in found.items() if given.text not in ("", "0")}


def _find_proxy(given: _Given, config: Config) -> Proxy:
    invalid = StartupError(f"Invalid -{given.option} address or hostname: '{given.text}'", ExitStatus.CONFIG)
    if given.text.startswith("unix:"):
        path = given.text.removeprefix("unix:")
        if not 0 < len(path.encode()) <= MAX_UNIX_PATH:
            raise invalid
        return Proxy(Path(path), config.proxyrandomize)
    try:
        port_is_good = split_host_port(given.text)[1] != 0
    except ValueError:
        port_is_good = False
    if not port_is_good:
        raise StartupError(f"Invalid port specified in -{given.option}: '{given.text}'", ExitStatus.CONFIG)
    resolver = HostResolver(DEFAULT_PROXY_PORT, names=config.dns)
    try:
        return Proxy(resolver.addresses(given.text)[0], config.proxyrandomize)
    except (OSError, ValueError, IndexError) as error:
        raise invalid from error
    finally:
        resolver.close()
