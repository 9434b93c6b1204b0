"""A daily look at whether the asmap knows the addresses of this time (Core: ``ASMapHealthCheck``).

The map is of the day it was made. Address blocks change hands, and with the years more and more addresses have no
autonomous system in it: those are grouped by prefix again, which is what the map was to prevent.
"""

import logging
from typing import Final

from ccnode.network.hub import breathe
from ccnode.peers.addrman import AddrMan
from ccnode.wire.address import Network

log = logging.getLogger("ccnode.addrman")

CHECK_SECONDS: Final = 86_400.0
"""Between two checks (Core: ``ASMAP_HEALTH_CHECK_INTERVAL``)."""


def log_asmap_health(addrman: AddrMan) -> None:
    """One log line about all IPv4 and IPv6 addresses known; lets others run in between."""
    systems = set()
    known = unmapped = 0
    for network in (Network.IPV4, Network.IPV6):
        for info in addrman.shuffled(network, filtered=False):
            known += 1
            asn = addrman.groups.mapped_as(info.address)
            unmapped += not asn
            if asn:
                systems.add(asn)
            breathe()
    log.info(
        "ASMap Health Check: %d clearnet peers are mapped to %d ASNs with %d peers being unmapped",
        known,
        len(systems),
        unmapped,
    )
