"""Commands of miners (Core: ``rpc/mining.cpp``); of them, those that need no blocks."""

from ccnode.admin import rpc_errors
from ccnode.admin.commands.common import display_hash
from ccnode.admin.context import AdminContext
from ccnode.admin.registry import Arg, ArgType, command
from ccnode.chain.verdict import ValidationResult
from ccnode.errors import RpcError


@command(
    "submitheader",
    "mining",
    changes=True,
    args=[Arg("hexdata", ArgType.STRING, "The serialized header, in hex")],
    help="Takes a header as a candidate for the tip, by the same rules as one from a peer. Throws if it is invalid.",
    result="null",
    example="0100000000000000...",
)
def submit_header(context: AdminContext, hexdata: str) -> None:
    params = context.chain.params
    try:
        raw = bytes.fromhex(hexdata)
    except ValueError:
        raw = b""
    if len(raw) != params.header_format.size:
        raise RpcError(rpc_errors.DESERIALIZATION_ERROR, "Block header decode failed")
    verdict = context.sync.submit_header(raw).verdict
    if verdict is None:
        return
    reason = verdict.reason
    if verdict.result is ValidationResult.MISSING_PARENT:
        reason = f"Must submit previous header ({display_hash(params.header_format.parse(raw).prev)}) first"
    raise RpcError(rpc_errors.VERIFY_ERROR, reason)
