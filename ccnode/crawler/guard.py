"""What is never dialed, whoever vouches for it: the first of the crawler's manners.

Gossip is anybody's text. A crawler that dials whatever it reads can be made to scan private hosts, to knock at
one machine's every port, or to spend its round in one provider's endless IPv6 range. So an address must be one that
strangers can reach, of a network that can be reached from here, and not of an operator who asked to be left alone. How
many are dialed in one range is the frontier's to limit.

An opt-out list is a text file: an address, a range, or an address with a port in a line, and behind ``#`` the reason.
"""

from collections.abc import Collection, Iterable
from typing import Final

from ccnode.crawler.outcome import Outcome
from ccnode.peers.subnet import Subnet
from ccnode.wire.address import CJDNS_FIRST_BYTE, IPV4_IN_IPV6, Network, NetworkAddress, split_host_port
from ccnode.wire.addresses import IP_KEY_SIZE, pack_address, unpack_address

PORT_SIZE: Final = 2
_NO_PORT: Final = bytes(PORT_SIZE)
_FIRST_MULTICAST: Final = 224
_PLAIN_V4: Final = frozenset(range(1, _FIRST_MULTICAST)) - {10, 100, 127, 169, 172, 192, 198, 203}
"""First bytes of IPv4 addresses that are all routable."""
_PLAIN_V6: Final = frozenset(range(0x24, 0x40))
"""First bytes of IPv6 addresses that are all routable: global unicast, without what is special in 2001::/16."""
_GLOBAL_UNICAST: Final = frozenset(range(0x20, 0x40))
_NETWORK_OF_ID: Final = {4: Network.ONION, 5: Network.I2P, 6: Network.CJDNS}


def network_of(key: bytes) -> Network:
    """The network of a packed address."""
    if len(key) != IP_KEY_SIZE:
        return _NETWORK_OF_ID[key[0]]
    return Network.IPV4 if key.startswith(IPV4_IN_IPV6) else Network.IPV6


class OptOuts:
    """Who asked not to be visited."""

    def __init__(self, lines: Iterable[str] = ()) -> None:
        """Read the lines of a list. `ValueError` names the line that is none."""
        self._keys: set[bytes] = set()
        self._ranges: list[Subnet] = []
        for number, line in enumerate(lines, 1):
            text = line.partition("#")[0].strip()
            if not text:
                continue
            try:
                self._add(text)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error

    def __len__(self) -> int:
        return len(self._keys) + len(self._ranges)

    def _add(self, text: str) -> None:
        if "/" not in text and split_host_port(text)[1] is not None:
            self._keys.add(pack_address(NetworkAddress.parse(text, cjdns=True)))
        else:
            self._ranges.append(Subnet.parse(text))

    def __contains__(self, key: bytes) -> bool:
        if key in self._keys:
            return True
        if not self._ranges:
            return False
        address = unpack_address(key)
        return any(address in subnet for subnet in self._ranges)


class Guard:
    """Judges packed addresses."""

    def __init__(
        self, networks: Collection[Network], opt_outs: OptOuts | None = None, *, allow_unroutable: bool = False
    ) -> None:
        """
        :param networks: those that can be reached.
        :param allow_unroutable: private and local addresses are as good as others (for networks of one's own).
        """
        self.networks = frozenset(networks)
        self._opt_outs = OptOuts() if opt_outs is None else opt_outs
        self._allow_unroutable = allow_unroutable
        self._on_cjdns = Network.CJDNS in networks

    def locate(self, key: bytes) -> bytes:
        """The key on the network that it belongs to here: with a way to CJDNS, fc00::/8 is that."""
        if self._on_cjdns and key[0] == CJDNS_FIRST_BYTE and len(key) == IP_KEY_SIZE:
            return b"\6" + key
        return key

    def refusal(self, key: bytes) -> Outcome | None:
        """Why ``key`` must not be dialed, if it must not."""
        if not self._is_reachable(key):
            return Outcome.UNROUTABLE
        if network_of(key) not in self.networks:
            return Outcome.NO_LANE
        return Outcome.OPTED_OUT if len(self._opt_outs) and key in self._opt_outs else None

    def _is_reachable(self, key: bytes) -> bool:
        if len(key) == IP_KEY_SIZE:
            if key.endswith(_NO_PORT):
                return False
            is_v4 = key.startswith(IPV4_IN_IPV6)
            if key[12] in _PLAIN_V4 if is_v4 else key[0] in _PLAIN_V6:
                return True
            if is_v4 and key[12] >= _FIRST_MULTICAST:
                return False
            if not is_v4 and not self._allow_unroutable and key[0] not in _GLOBAL_UNICAST:
                return False
        address = unpack_address(key)
        if address.network is not Network.I2P and not address.port:
            return False
        return address.is_valid() if self._allow_unroutable else address.is_routable()
