"""The node's figures for Prometheus, over HTTP at the address that ``metrics`` names.

prometheus_client knows the formats, ``collector.py`` the figures, ``web.py`` is the server; this module joins them.

Whoever can connect can read, and there is no password: the address should be one of this machine, and the log warns of
any other. Others cannot do much harm: see ``web.py``.
"""

import logging
from ipaddress import ip_address
from typing import Final

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.registry import Collector

from ccnode.admin.web import WebServer, listen
from ccnode.errors import StartupError
from ccnode.wire.address import NetworkAddress

log = logging.getLogger("ccnode.rpc")

MAX_CONNECTIONS: Final = 8
"""Served at a time."""

RECEIVE_SECONDS = 10.0
"""How long a request may take to come; also how long a connection may be idle."""


class MetricsServer(WebServer):
    """Answers scrapes until `close`."""

    def __init__(self, address: NetworkAddress, collector: Collector) -> None:
        """Listen at once; StartupError if the address cannot be had."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(collector)
        try:
            sock = listen(address)
        except StartupError as error:
            text = f"cannot serve metrics: {error}; choose another address with --metrics"
            raise StartupError(text, error.exit_status) from error
        application = make_wsgi_app(registry, disable_compression=True)
        super().__init__("metrics", [sock], application, connections=MAX_CONNECTIONS, patience=RECEIVE_SECONDS)
        log.info("metrics are served at http://%s/metrics", self.address)
        if not ip_address(address.host).is_loopback:
            log.warning("%s is not of this machine alone: anybody who can connect may read the metrics", self.address)

    @property
    def address(self) -> NetworkAddress:
        """With the port really bound."""
        return self.addresses[0]
