"""Commands about the chain as a whole (Core: ``rpc/blockchain.cpp``).

On a node of headers ``blocks`` equals ``headers``: the height of the best valid header. With blocks the tip is the last
one that was validated. ``headers.py`` has the commands about single headers, ``branches.py`` those about forks,
``blocks.py`` those about blocks.
"""

import dataclasses
from collections.abc import Callable

from ccnode.admin import rpc_errors
from ccnode.admin.commands.blocks import prune_height
from ccnode.admin.commands.common import BLOCKHASH, display_hash, find_block, hex64, warnings, work_of
from ccnode.admin.context import AdminContext
from ccnode.admin.registry import Arg, ArgType, command
from ccnode.chain.index import HeaderIndex
from ccnode.chain.params import Deployment
from ccnode.chain.pow import difficulty
from ccnode.chain.script_flags import ScriptFlag, block_script_flags
from ccnode.chain.version_bits import COUNTED, State, VersionBits
from ccnode.errors import RpcError
from ccnode.network.hub import breathing

_TIMEOUT = Arg("timeout", ArgType.INTEGER, "Milliseconds to wait; 0 means an hour", default=0)
_TIP = '{"hash": "hex", "height": n}    (json object) the tip of the active chain'


@command(
    "getblockchaininfo",
    "blockchain",
    help="Returns the state of the chain: its tip, its work, and how far the synchronisation is.",
    result="""{
  "chain": "str",                    network: main, test, testnet4, signet, regtest or a name of one's own
  "blocks": n,                       height of the tip: the last validated block, or on a node of headers the same as
  "headers": n,                      height of the best valid header
  "bestblockhash": "hex",
  "bits": "hex",
  "target": "hex",
  "difficulty": n,
  "time": n,                         Unix seconds
  "mediantime": n,                   median of the last eleven times, Unix seconds
  "verificationprogress": n,         0 to 1, estimated
  "initialblockdownload": true|false,
  "chainwork": "hex",
  "size_on_disk": n,                 bytes of headers, blocks and undo data
  "pruned": true|false,              whether old blocks are deleted
  "pruneheight": n,                  the lowest block that is kept, with those after it (if pruned)
  "automatic_pruning": true|false,   or only by command (if pruned)
  "prune_target_size": n,            bytes of blocks and undo data to keep (if pruned automatically)
  "signet_challenge": "hex",         on signets only
  "warnings": ["str", ...]
}""",
)
def get_blockchain_info(context: AdminContext) -> dict[str, object]:
    index, params = context.chain.index, context.chain.params
    tip, now = index.tip, context.clock.now()
    info: dict[str, object] = {
        "chain": params.core_name,
        "blocks": index.height(tip),
        "headers": index.height(index.best_header),
        "bestblockhash": display_hash(index.hash(tip)),
        **work_of(index.bits(tip)),
        "time": index.time(tip),
        "mediantime": index.median_time_past(tip),
        "verificationprogress": context.sync.verified(),
        "initialblockdownload": context.chain.is_ibd(now),
        "chainwork": hex64(index.chain_work(tip)),
        "size_on_disk": context.header_file.stat().st_size + (context.blocks.disk_usage if context.blocks else 0),
        **_pruning(context),
    }
    if params.signet_challenge is not None:
        info["signet_challenge"] = params.signet_challenge.hex()
    return {**info, "warnings": warnings(context)}


def _pruning(context: AdminContext) -> dict[str, object]:
    """What getblockchaininfo says about it."""
    target = None if context.blocks is None else context.blocks.prune_target
    if target is None:
        return {"pruned": False}
    height = prune_height(context)
    pruning: dict[str, object] = {
        "pruned": True,
        "pruneheight": 0 if height is None else height + 1,
        "automatic_pruning": target > 0,
    }
    return {**pruning, "prune_target_size": target} if target else pruning


@command(
    "getchainstates",
    "blockchain",
    help="Returns the states of the chain that the node keeps: there is one.",
    result="""{
  "headers": n,                      height of the best valid header
  "chainstates": [{
    "blocks": n,                     the same
    "bestblockhash": "hex",
    "bits": "hex",
    "target": "hex",
    "difficulty": n,
    "verificationprogress": n,       0 to 1, estimated
    "coins_db_cache_bytes": 0,       the system keeps what was read from the disk
    "coins_tip_cache_bytes": n,      most bytes of coins that changed
    "validated": true|false          false on a node of headers: what is in the blocks has not been looked at
  }]
}""",
)
def get_chain_states(context: AdminContext) -> dict[str, object]:
    index = context.chain.index
    tip = index.tip
    state = {
        "blocks": index.height(tip),
        "bestblockhash": display_hash(index.hash(tip)),
        **work_of(index.bits(tip)),
        "verificationprogress": context.sync.verified(),
        "coins_db_cache_bytes": 0,
        "coins_tip_cache_bytes": 0 if context.blocks is None else context.blocks.coins_cache_bytes,
        "validated": context.blocks is not None,
    }
    return {"headers": index.height(index.best_header), "chainstates": [state]}


@command(
    "getblockcount",
    "blockchain",
    help="Returns the height of the tip of the active chain. The genesis block has height 0.",
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
    "getdeploymentinfo",
    "blockchain",
    args=[dataclasses.replace(BLOCKHASH, help="The block to look at (else: the tip)", default=None)],
    help="Returns which rules of soft forks hold for the block after another.",
    result="""{
  "hash": "hex",
  "height": n,
  "script_flags": ["str", ...],      that the block itself is to obey; none on a node of headers
  "deployments": {
    "name": {                        bip34, bip66, bip65, csv, segwit; on regtest testdummy
      "type": "str",                 buried, or bip9: decided by signals in headers
      "active": true|false,
      "height": n,                   the first that must obey, if it is known
      "bip9": {                      of type bip9 only
        "bit": n,                    that is signalled by, while signals count
        "start_time": n,             Unix seconds
        "timeout": n,                Unix seconds
        "min_activation_height": n,
        "status": "str",             of the block itself: defined, started, locked_in, active or failed
        "since": n,                  the height from which that holds
        "status_next": "str",        of the block after
        "statistics": {              while signals count
          "period": n,               blocks over which they are counted
          "elapsed": n,              those that have come
          "count": n,                those of them that signal
          "threshold": n,            signals that lock it in, if it is not yet
          "possible": true|false     whether this period can bring so many
        },
        "signalling": "str"          a character for each block that has come: # signals, - does not
      }
    }, ...
  }
}""",
    example="00000000c937983704a73af28acdec37b049d214adbda81d7e2a3dd146f6ed09",
)
def get_deployment_info(context: AdminContext, blockhash: bytes | None) -> dict[str, object]:
    index, forks = context.chain.index, context.chain.params.soft_forks
    entry = index.tip if blockhash is None else find_block(context, blockhash)
    height = index.height(entry)
    starts = {name: getattr(forks, name) for name in ("bip34", "bip66", "bip65", "csv", "segwit")}
    signalled = [each for each in context.chain.params.deployments if each.start_time != Deployment.NEVER_ACTIVE]
    return {
        "hash": display_hash(index.hash(entry)),
        "height": height,
        "script_flags": _script_flags(context, entry),
        "deployments": {
            **{name: {"type": "buried", "active": height + 1 >= at, "height": at} for name, at in starts.items()},
            **{each.name: _signalled_deployment(context.version_bits, index, each, entry) for each in signalled},
        },
    }


def _signalled_deployment(
    bits: VersionBits, index: HeaderIndex, deployment: Deployment, entry: int
) -> dict[str, object]:
    """How it stands with a deployment at a block (BIP9)."""
    parent, height = index.parent(entry), index.height(entry)
    state, following = bits.state(deployment, parent), bits.state(deployment, entry)
    since = bits.since(deployment, parent)
    details: dict[str, object] = {
        "start_time": deployment.start_time,
        "timeout": deployment.timeout,
        "min_activation_height": deployment.min_activation_height,
        "status": state.value,
        "since": since,
        "status_next": following.value,
    }
    if state in COUNTED:
        signals = bits.signals(deployment, entry)
        statistics = {"period": signals.period, "elapsed": signals.elapsed, "count": signals.count}
        if state is State.STARTED:
            statistics |= {"threshold": signals.threshold, "possible": signals.possible}
        signalling = "".join("#" if each else "-" for each in signals.blocks)
        details = {"bit": deployment.bit, **details, "statistics": statistics, "signalling": signalling}
    member: dict[str, object] = {"type": "bip9"}
    if State.ACTIVE in (state, following):
        member["height"] = since if state is State.ACTIVE else height + 1
    return {**member, "active": following is State.ACTIVE, "bip9": details}


def _script_flags(context: AdminContext, entry: int) -> list[str]:
    """The script rules that hold in a block."""
    if context.blocks is None:
        return []
    index = context.chain.index
    flags = block_script_flags(context.chain.params, index.height(entry), index.hash(entry))
    return sorted(flag.name for flag in ScriptFlag if flag & flags and flag.name)


@command(
    "waitfornewblock",
    "blockchain",
    args=[
        _TIMEOUT,
        Arg(
            "current_tip",
            ArgType.HASH,
            "Wait for another tip than this one (else: than the present)",
            default=None,
            completion="blockhash",
        ),
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
    args=[BLOCKHASH, _TIMEOUT],
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
    args=[Arg("height", ArgType.INTEGER, "The height", completion="height"), _TIMEOUT],
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
    "best_header": "hex",            its hash, if known
    "fork_height": n,                where it left our active chain: on it the same as synced_headers; -1 if unknown
    "chainwork": "hex",              the work up to it, if known
    "ahead": true|false,             the peer showed or announced something that we have not taken in
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
    index = context.chain.index
    best = info.best_known
    return {
        "id": peer_id,
        "synced_headers": info.synced_headers,
        **({} if best is None else {"best_header": display_hash(index.hash(best))}),
        "fork_height": -1 if best is None else index.height(index.fork_point(best, index.tip)),
        **({} if best is None else {"chainwork": hex64(index.chain_work(best))}),
        "ahead": info.ahead,
        "presynced_headers": info.presynced_headers,
        "leading": info.leading,
        **_known(rate=info.rate),
        "waiting_batches": info.waiting_batches,
        **_known(asked_seconds_ago=info.asked_seconds_ago),
    }


def _known(**fields: float | None) -> dict[str, float]:
    return {name: round(value, 1) for name, value in fields.items() if value is not None}
