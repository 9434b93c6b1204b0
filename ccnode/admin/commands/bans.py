"""Commands about bans (Core: ``rpc/net.cpp``)."""

from ccnode.admin import rpc_errors
from ccnode.admin.context import AdminContext
from ccnode.admin.registry import Arg, ArgType, WrongUsage, command
from ccnode.errors import RpcError
from ccnode.network.hub import breathing
from ccnode.peers.bans import MANUAL, MAX_REMARK
from ccnode.peers.subnet import Subnet


@command(
    "setban",
    "network",
    changes=True,
    args=[
        Arg("subnet", ArgType.STRING, "An address, or a range: ADDR/BITS or ADDR/NETMASK", completion="peer_address"),
        Arg("command", ArgType.STRING, "'add' to ban it, 'remove' to lift the ban", completion=("add", "remove")),
        Arg("bantime", ArgType.INTEGER, "Seconds it lasts, or its end as a Unix time; 0: as bantime says", default=0),
        Arg("absolute", ArgType.BOOLEAN, "bantime is a Unix time", default=False),
        Arg("reason", ArgType.STRING, "Why, for the list of bans; Core has no such argument", default=""),
    ],
    help="Bans an address or a range, which ends all connections to it at once, or lifts a ban.",
    result="null",
    example="192.168.0.0/24 add 86400",
)
def set_ban(context: AdminContext, subnet: str, command: str, bantime: int, absolute: bool, reason: str) -> None:
    if command not in ("add", "remove"):
        raise WrongUsage
    parsed = _parse(subnet)
    if command == "remove":
        if not context.bans.unban(parsed):
            text = "Error: Unban failed. Requested address/subnet was not previously manually banned."
            raise RpcError(rpc_errors.CLIENT_INVALID_IP_OR_SUBNET, text)
        context.wait_stored()
        return
    if _is_banned(context, parsed, is_range="/" in subnet):
        raise RpcError(rpc_errors.CLIENT_NODE_ALREADY_ADDED, "Error: IP/Subnet already banned")
    if absolute and bantime < context.clock.now():
        raise RpcError(rpc_errors.INVALID_PARAMETER, "Error: Absolute timestamp is in the past")
    if len(reason) > MAX_REMARK:
        raise RpcError(rpc_errors.INVALID_PARAMETER, f"Error: reason is longer than {MAX_REMARK} characters")
    context.bans.ban(parsed, bantime, absolute=absolute, reason=f"{MANUAL}: {reason}" if reason else MANUAL)
    context.wait_stored()


def _parse(text: str) -> Subnet:
    try:
        return Subnet.parse(text)
    except ValueError as error:
        raise RpcError(rpc_errors.CLIENT_INVALID_IP_OR_SUBNET, "Error: Invalid IP/Subnet") from error


def _is_banned(context: AdminContext, subnet: Subnet, *, is_range: bool) -> bool:
    """A range may be banned although parts of it are; an address may not be if a range around it is."""
    return context.bans.is_subnet_banned(subnet) if is_range else context.bans.is_banned(subnet.address)


@command(
    "listbanned",
    "network",
    help="Returns the bans in force.",
    result="""[{
  "address": "str",                  an address or a range
  "ban_created": n,                  Unix seconds
  "banned_until": n,                 Unix seconds
  "ban_duration": n,                 seconds
  "time_remaining": n,               seconds
  "ban_reason": "str"
}, ...]""",
)
def list_banned(context: AdminContext) -> list[dict[str, object]]:
    now = int(context.clock.now())
    return [
        {
            "address": str(ban.subnet),
            "ban_created": ban.created,
            "banned_until": ban.until,
            "ban_duration": ban.until - ban.created,
            "time_remaining": ban.until - now,
            "ban_reason": ban.reason,
        }
        for ban in breathing(context.bans.bans())
    ]


@command("clearbanned", "network", help="Lifts all bans.", result="null", changes=True)
def clear_banned(context: AdminContext) -> None:
    context.bans.clear()
    context.wait_stored()
