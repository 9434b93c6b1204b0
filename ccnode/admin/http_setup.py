"""What the options of the HTTP interface mean: where it listens, who may use it.

Core listens on this machine alone unless ``rpcbind`` and ``rpcallowip`` both say otherwise; either without the other is
ignored, with a warning (``HTTPBindAddresses``). So do we. Unlike Core's, our interface is off unless ``server``,
``rpcport`` or ``rpcbind`` ask for it.
"""

import errno
import logging
from collections.abc import Sequence
from typing import Final

from gevent.socket import socket

from ccnode.admin.http import HttpRpcServer
from ccnode.admin.http_auth import Authenticator, Cookie, Credential, Permissions
from ccnode.admin.web import listen
from ccnode.chain.params import ChainParams
from ccnode.errors import ExitStatus, StartupError
from ccnode.options import Config
from ccnode.peers.subnet import Subnet
from ccnode.wire.address import NetworkAddress

log = logging.getLogger("ccnode.rpc")

_NO_SUCH_ADDRESS: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def build_http(config: Config, params: ChainParams) -> HttpRpcServer | None:
    """JSON-RPC over HTTP, listening already; None if it is not wanted. StartupError if it cannot be had."""
    if not config.server:
        return None
    allowed, permissions, credentials = http_access(config)
    sockets = listen_for_http(http_addresses(config, params))
    cookie = None
    if config.rpcpassword:
        log.warning("rpcpassword stands in the configuration as it is; rpcauth has only its hash")
        credentials.append(Credential.of_password(config.rpcuser or "", config.rpcpassword))
    elif config.rpccookiefile:
        path = config.folder / config.rpccookiefile
        try:
            cookie = Cookie(path, config.rpccookieperms)
        except OSError as error:
            text = f"cannot write the cookie file {path}: {error.strerror}"
            raise StartupError(text, ExitStatus.DATADIR) from error
        credentials.append(cookie.credential)
    return HttpRpcServer(sockets, Authenticator(credentials), permissions, allowed, cookie)


def http_access(config: Config) -> tuple[list[Subnet], Permissions, list[Credential]]:
    """From where HTTP may be used, who may call what, and the users of ``rpcauth``; StartupError if one is none."""
    allowed = [Subnet.parse("127.0.0.0/8"), Subnet.parse("::1"), *map(_allowed_subnet, config.rpcallowip)]
    permissions = Permissions.parse(config.rpcwhitelist, others=not config.rpcwhitelistdefault)
    try:
        return allowed, permissions, [Credential.parse(text) for text in config.rpcauth]
    except ValueError as error:
        raise StartupError(str(error), ExitStatus.CONFIG) from error


def http_addresses(config: Config, params: ChainParams) -> list[NetworkAddress]:
    """Where to listen for HTTP: on this machine alone, unless both ``rpcbind`` and ``rpcallowip`` say otherwise."""
    port = params.rpc_port if config.rpcport is None else config.rpcport
    if config.rpcbind and config.rpcallowip:
        try:
            found = [NetworkAddress.parse(text, port) for text in config.rpcbind]
        except ValueError as error:
            raise StartupError(f"rpcbind: {error}", ExitStatus.CONFIG) from error
        if any(not any(address.addr) for address in found):
            log.warning("the RPC server is not safe to expose to untrusted networks such as the public internet")
        return found
    if config.rpcbind:
        log.warning(
            "option -rpcbind was ignored because -rpcallowip was not specified, refusing to allow everyone to connect"
        )
    if config.rpcallowip:
        log.warning("option -rpcallowip was specified without -rpcbind; this doesn't usually make sense")
    return [NetworkAddress.parse("::1", port), NetworkAddress.parse("127.0.0.1", port)]


def listen_for_http(addresses: Sequence[NetworkAddress]) -> list[socket]:
    """Sockets at all of the addresses that this machine has; StartupError if it has none, or one is taken."""
    sockets: list[socket] = []
    failures: list[StartupError] = []
    for address in addresses:
        try:
            sockets.append(listen(address))
        except StartupError as error:
            failures.append(error)
    missing = [failure for failure in failures if getattr(failure.__cause__, "errno", None) in _NO_SUCH_ADDRESS]
    if len(missing) < len(failures) or not sockets:
        for sock in sockets:
            sock.close()
        worst = next((failure for failure in failures if failure not in missing), failures[0])
        raise StartupError(f"Unable to start HTTP server: {worst}; see -rpcport and -rpcbind", ExitStatus.BIND)
    for failure in missing:
        log.info("no HTTP there: %s", failure)
    return sockets


def _allowed_subnet(text: str) -> Subnet:
    try:
        return Subnet.parse(text)
    except ValueError as error:
        raise StartupError(
            f"Invalid -rpcallowip subnet specification: {text}. Valid values are a single IP (e.g. 1.2.3.4), a "
            "network/netmask (e.g. 1.2.3.4/255.255.255.0), a network/CIDR (e.g. 1.2.3.4/24), all ipv4 (0.0.0.0/0), or "
            "all ipv6 (::/0).",
            ExitStatus.CONFIG,
        ) from error
