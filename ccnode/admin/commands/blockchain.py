"""Commands about the chain (Core: ``rpc/blockchain.cpp``).

The node has headers and no blocks. So ``blocks`` equals ``headers``, both being the height of the best valid header,
``nTx`` is 0, which in Core too means unknown, and a branch off the active chain is ``headers-only``.
"""

from collections.abc import Callable

from ccnode.admin import rpc_errors
from ccnode.admin.commands.common import breathing, display_hash, find_block, hex64, warnings
from ccnode.admin.context import AdminContext
from ccnode.admin.registry import HIDDEN, Arg, ArgType, command
from ccnode.chain.pow import decode_compact, difficulty
from ccnode.errors import RpcError

_BLOCKHASH = Arg("blockhash", ArgType.HASH, "The block hash", completion="blockhash")
_TIMEOUT = Arg("timeout", ArgType.INTEGER, "Milliseconds to wait; 0 means an hour", default=0)
_TIP = '{"hash": "hex", "height": n}    (json object) the tip of the active chain'


@command(
    "getblockchaininfo",
    "blockchain",
    help="Returns the state of the chain: its tip, its work, and how far the synchronisation is.",
    result="""{
  "chain": "str",                    network: main, test, testnet4, signet, regtest or a name of one's own
  "blocks": n,                       height of the best valid header
  "headers": n,                      the same
  "bestblockhash": "hex",
  "bits": "hex",
  "target": "hex",
  "difficulty": n,
  "time": n,                         Unix seconds
  "mediantime": n,                   median of the last eleven times, Unix seconds
  "verificationprogress": n,         0 to 1, estimated from the time left
  "initialblockdownload": true|false,
  "chainwork": "hex",
  "size_on_disk": n,                 bytes of the header file
  "pruned": false,
  "signet_challenge": "hex",         on signets only
  "warnings": ["str", ...]
}""",
)
def get_blockchain_info(context: AdminContext) -> dict[str, object]:
    index, params = context.chain.index, context.chain.params
    tip, now = index.tip, context.clock.now()
    progress = context.sync.progress()
    info: dict[str, object] = {
        "chain": params.core_name,
        "blocks": index.height(tip),
        "headers": index.height(index.best_header),
        "bestblockhash": display_hash(index.hash(tip)),
        **_work_of(index.bits(tip)),
        "time": index.time(tip),
        "mediantime": index.median_time_past(tip),
        "verificationprogress": min(1.0, progress.percent / 100),
        "initialblockdownload": context.chain.is_ibd(now),
        "chainwork": hex64(index.chain_work(tip)),
        "size_on_disk": context.header_file.stat().st_size,
        "pruned": False,
    }
    if params.signet_challenge is not None:
        info["signet_challenge"] = params.signet_challenge.hex()
    return {**info, "warnings": warnings(context)}


def _work_of(bits: int) -> dict[str, object]:
    return {"bits": f"{bits:08x}", "target": hex64(decode_compact(bits)[0]), "difficulty": difficulty(bits)}


@command(
    "getblockcount",
    "blockchain",
    help="Returns the height of the best valid header. The genesis block has height 0.",
    result="n    (numeric) the height",
)
def get_block_count(context: AdminContext) -> int:
    return context.chain.index.height(context.chain.index.tip)


@command(
    "getbestblockhash",
    "blockchain",
    help="Returns the hash of the tip of the active chain.",
    result='"hex"    (string) the block hash',
)
def get_best_block_hash(context: AdminContext) -> str:
    return display_hash(context.chain.index.hash(context.chain.index.tip))


@command(
    "getdifficulty",
    "blockchain",
    help="Returns the difficulty of the tip, as a multiple of the least difficulty.",
    result="n    (numeric) the difficulty",
)
def get_difficulty(context: AdminContext) -> float:
    return difficulty(context.chain.index.bits(context.chain.index.tip))


@command(
    "getblockhash",
    "blockchain",
    args=[Arg("height", ArgType.INTEGER, "The height")],
    help="Returns the hash of the block of the active chain at a height.",
    result='"hex"    (string) the block hash',
    example="1000",
)
def get_block_hash(context: AdminContext, height: int) -> str:
    entry = context.chain.index.active_at(height)
    if entry is None:
        raise RpcError(rpc_errors.INVALID_PARAMETER, "Block height out of range")
    return display_hash(context.chain.index.hash(entry))


@command(
    "getblockheader",
    "blockchain",
    args=[_BLOCKHASH, Arg("verbose", ArgType.BOOLEAN, "true for an object, false for the bytes in hex", default=True)],
    help="Returns a block header.",
    result="""{
  "hash": "hex",
  "confirmations": n,                -1 off the active chain
  "height": n,
  "version": n,
  "versionHex": "hex",
  "merkleroot": "hex",
  "time": n,                         Unix seconds
  "mediantime": n,                   Unix seconds
  "nonce": n,
  "bits": "hex",
  "target": "hex",
  "difficulty": n,
  "chainwork": "hex",
  "nTx": 0,                          unknown: the node has headers only
  "previousblockhash": "hex",        if there is one
  "nextblockhash": "hex"             if there is one on the active chain
}
or "hex"    (string) the serialized header""",
    example="00000000c937983704a73af28acdec37b049d214adbda81d7e2a3dd146f6ed09 false",
)
def get_block_header(context: AdminContext, blockhash: bytes, verbose: bool) -> dict[str, object] | str:
    chain, index = context.chain, context.chain.index
    entry = find_block(context, blockhash)
    if not verbose:
        return chain.header_bytes(entry).hex()
    header, height = chain.header(entry), index.height(entry)
    active = index.in_active(entry)
    shown: dict[str, object] = {
        "hash": display_hash(blockhash),
        "confirmations": index.height(index.tip) - height + 1 if active else -1,
        "height": height,
        "version": header.version,
        "versionHex": f"{header.version & 0xFFFFFFFF:08x}",
        "merkleroot": display_hash(header.merkle_root),
        "time": header.time,
        "mediantime": index.median_time_past(entry),
        "nonce": header.nonce,
        **_work_of(header.bits),
        "chainwork": hex64(index.chain_work(entry)),
        "nTx": 0,
    }
    if index.parent(entry) is not None:
        shown["previousblockhash"] = display_hash(header.prev)
    following = index.active_at(height + 1) if active else None
    if following is not None:
        shown["nextblockhash"] = display_hash(index.hash(following))
    return shown


@command(
    "getchaintips",
    "blockchain",
    help="Returns all ends of the tree of headers: the tip of the active chain and those of its branches.",
    result="""[{
  "height": n,
  "hash": "hex",
  "branchlen": n,                    headers since the branch left the active chain
  "status": "str"                    active, headers-only, or invalid (marked so, or on top of such a header)
}, ...]""",
)
def get_chain_tips(context: AdminContext) -> list[dict[str, object]]:
    index = context.chain.index
    tip = index.tip
    tips = []
    # After invalidateblock the tip may have children.
    for entry in breathing(sorted({tip, *index.tips()}, key=index.height, reverse=True)):
        height = index.height(entry)
        if entry == tip:
            status = "active"
        else:
            status = "invalid" if index.is_invalid(entry) else "headers-only"
        tips.append(
            {
                "height": height,
                "hash": display_hash(index.hash(entry)),
                "branchlen": height - index.height(index.fork_point(entry, tip)),
                "status": status,
            }
        )
    return tips


@command(
    "invalidateblock",
    HIDDEN,
    changes=True,
    args=[_BLOCKHASH],
    help="Marks a block as invalid, with all that builds on it. The mark is kept until reconsiderblock.",
    result="null",
    example="00000000c937983704a73af28acdec37b049d214adbda81d7e2a3dd146f6ed09",
)
def invalidate_block(context: AdminContext, blockhash: bytes) -> None:
    entry = find_block(context, blockhash)
    if entry == 0:
        raise RpcError(rpc_errors.INVALID_PARAMETER, "The first block cannot be invalidated")
    context.chain.invalidate(entry)
    context.persist_marks()


@command(
    "reconsiderblock",
    HIDDEN,
    changes=True,
    args=[_BLOCKHASH],
    help="Takes back the marks of invalidateblock on a block, on what it builds on and on what builds on it.",
    result="null",
    example="00000000c937983704a73af28acdec37b049d214adbda81d7e2a3dd146f6ed09",
)
def reconsider_block(context: AdminContext, blockhash: bytes) -> None:
    context.chain.reconsider(find_block(context, blockhash))
    context.persist_marks()


@command(
    "waitfornewblock",
    "blockchain",
    args=[
        _TIMEOUT,
        Arg("current_tip", ArgType.HASH, "Wait for another tip than this one (else: than the present)", default=None),
    ],
    help="Waits for a new tip of the active chain and returns it, or the old one after the time is over.",
    result=_TIP,
    example="60000",
)
def wait_for_new_block(context: AdminContext, timeout: int, current_tip: bytes | None) -> dict[str, object]:
    index = context.chain.index
    known = current_tip or index.hash(index.tip)
    return _wait(context, timeout, lambda: index.hash(index.tip) != known)


@command(
    "waitforblock",
    "blockchain",
    args=[_BLOCKHASH, _TIMEOUT],
    help="Waits until a block is the tip of the active chain; returns the tip then, or after the time is over.",
    result=_TIP,
    example="00000000c937983704a73af28acdec37b049d214adbda81d7e2a3dd146f6ed09 60000",
)
def wait_for_block(context: AdminContext, blockhash: bytes, timeout: int) -> dict[str, object]:
    index = context.chain.index
    return _wait(context, timeout, lambda: index.hash(index.tip) == blockhash)


@command(
    "waitforblockheight",
    "blockchain",
    args=[Arg("height", ArgType.INTEGER, "The height"), _TIMEOUT],
    help="Waits until the active chain is at least so high; returns its tip then, or after the time is over.",
    result=_TIP,
    example="100 1000",
)
def wait_for_block_height(context: AdminContext, height: int, timeout: int) -> dict[str, object]:
    index = context.chain.index
    return _wait(context, timeout, lambda: index.height(index.tip) >= height)


def _wait(context: AdminContext, milliseconds: int, satisfied: Callable[[], bool]) -> dict[str, object]:
    if milliseconds < 0:
        raise RpcError(rpc_errors.MISC_ERROR, "Negative timeout")
    context.tip_watch.wait_until(satisfied, milliseconds / 1000, context.clock.steady)
    index = context.chain.index
    return {"hash": display_hash(index.hash(index.tip)), "height": index.height(index.tip)}


@command(
    "getheadersyncinfo",
    "blockchain",
    help="Returns how the synchronisation of headers is going, as a whole and with each peer.",
    result="""{
  "phase": "str",                    what is going on, in words
  "height": n,                       of the best header
  "best_time": n,                    its time, Unix seconds
  "percent": n,                      0 to 100, estimated from the time left
  "rate": n,                         headers per second
  "eta": n,                          seconds left at this rate, if known
  "presync_height": n,               how far a chain without enough work so far has been looked at, if there is one
  "low_work": true|false,            the peers' chain has less work than the network's minimum
  "peers": [{
    "id": n,
    "synced_headers": n,             height of the best header we have in common, -1 if unknown
    "presynced_headers": n,          height looked at in advance, -1 if that is not going on
    "leading": true|false,           the initial synchronisation goes through this peer
    "rate": n,                       headers per second over its last full batches, if known
    "waiting_batches": n,            batches whose parent is not known yet
    "asked_seconds_ago": n           age of the unanswered request, if there is one
  }, ...]
}""",
)
def get_header_sync_info(context: AdminContext) -> dict[str, object]:
    progress = context.sync.progress()
    return {
        "phase": progress.phase.value,
        "height": progress.height,
        "best_time": progress.best_time,
        "percent": round(progress.percent, 4),
        "rate": round(progress.rate, 1),
        **_known(eta=progress.eta, presync_height=progress.presync_height),
        "low_work": progress.low_work,
        "peers": [_peer_sync(context, peer_id) for peer_id in breathing(sorted(context.net.peers))],
    }


def _peer_sync(context: AdminContext, peer_id: int) -> dict[str, object]:
    info = context.sync.peer_info(peer_id)
    return {
        "id": peer_id,
        "synced_headers": info.synced_headers,
        "presynced_headers": info.presynced_headers,
        "leading": info.leading,
        **_known(rate=info.rate),
        "waiting_batches": info.waiting_batches,
        **_known(asked_seconds_ago=info.asked_seconds_ago),
    }


def _known(**fields: float | None) -> dict[str, float]:
    return {name: round(value, 1) for name, value in fields.items() if value is not None}
