"""What the machine knows about its place in the network: the addresses of its interfaces, and its gateway.

Interfaces come from psutil, which asks the system on every platform. For the gateway there is no package that is kept
up: Linux shows its routes in ``/proc/net/route``, macOS through the command ``route``. IPv4 only, because the gateway
is asked for nothing but IPv4 (``port_mapping.py``).
"""

import errno
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import psutil

from ccnode.wire.address import NetworkAddress

log = logging.getLogger("ccnode.net")

_ROUTES: Final = Path("/proc/net/route")
_ROUTE_COMMAND: Final = ("/sbin/route", "-n", "get", "default")
_ROUTE_SECONDS: Final = 5.0
_DEFAULT_ROUTE: Final = "00000000"
_UP_WITH_GATEWAY: Final = 0x1 | 0x2
"""Flags RTF_UP and RTF_GATEWAY."""


def interface_addresses() -> Iterator[NetworkAddress]:
    """IPv4 and IPv6 addresses of all interfaces that are up, loopback left out; the port is 0."""
    try:
        states, interfaces = psutil.net_if_stats(), psutil.net_if_addrs()
    except OSError as error:  # a locked-down container may forbid to ask
        log.debug("the addresses of the interfaces cannot be had: %s", error)
        return
    for name, addresses in interfaces.items():
        state = states.get(name)
        if state is None or not state.isup or "loopback" in state.flags.split(","):
            continue
        for entry in addresses:
            if entry.family in (socket.AF_INET, socket.AF_INET6):
                try:
                    yield NetworkAddress.parse(entry.address.split("%")[0])
                except ValueError:  # of a range that is no longer IPv6 for us
                    log.debug("%s has an address of no use: %s", name, entry.address)


def behind_wildcards(
    listening: Iterable[NetworkAddress], interfaces: Iterable[NetworkAddress]
) -> Iterator[NetworkAddress]:
    """Those of ``interfaces`` on which connections are accepted, with the port.

    They are where we listen on all addresses of their kind, 0.0.0.0 or ::.
    """
    ports = {address.network: address.port for address in listening if not any(address.addr)}
    return (replace(address, port=ports[address.network]) for address in interfaces if address.network in ports)


def default_gateway() -> str:
    """The IPv4 address packets to strangers are handed to; OSError if the machine has none or does not tell."""
    try:
        if sys.platform == "darwin":
            shown = subprocess.run(_ROUTE_COMMAND, capture_output=True, text=True, timeout=_ROUTE_SECONDS, check=False)
            gateway = gateway_shown(shown.stdout)
        else:
            gateway = gateway_in_table(_ROUTES.read_text(encoding="ascii"))
    except subprocess.TimeoutExpired as error:
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT), _ROUTE_COMMAND[0]) from error
    if gateway is None:
        raise OSError("this machine has no IPv4 gateway")
    return gateway


def gateway_in_table(table: str) -> str | None:
    """Of the form of ``/proc/net/route``; of several default routes the one with the lowest metric."""
    found: list[tuple[int, str]] = []
    for line in table.splitlines()[1:]:
        _interface, destination, gateway, flags, _ref, _use, metric, mask, *_rest = line.split()
        if destination == mask == _DEFAULT_ROUTE and int(flags, 16) & _UP_WITH_GATEWAY == _UP_WITH_GATEWAY:
            # the kernel prints the number as it lies in memory
            found.append((int(metric), socket.inet_ntoa(int(gateway, 16).to_bytes(4, sys.byteorder))))
    return min(found)[1] if found else None


def gateway_shown(output: str) -> str | None:
    """Of what ``route -n get default`` prints. A gateway may be an interface without an address (``link#12``)."""
    for line in output.splitlines():
        key, _, value = line.strip().partition(": ")
        if key == "gateway":
            try:
                socket.inet_aton(value)
            except OSError:
                return None
            return value
    return None
