"""What every command returns, field by field: scripts written for Bitcoin Core rely on names and types."""

from collections.abc import Mapping
from typing import Any

NUMBER = (int, float)
TEXTS = [str]
PER_MESSAGE = {"*": int}

PEER = {
    "id": int,
    "addr": str,
    "addrbind?": str,
    "addrlocal?": str,
    "network": str,
    "mapped_as?": int,
    "services": str,
    "servicesnames": TEXTS,
    "relaytxes": bool,
    "last_inv_sequence": int,
    "inv_to_send": int,
    "lastsend": int,
    "lastrecv": int,
    "last_transaction": int,
    "last_block": int,
    "bytessent": int,
    "bytesrecv": int,
    "conntime": int,
    "timeoffset": int,
    "pingtime?": NUMBER,
    "minping?": NUMBER,
    "pingwait?": NUMBER,
    "version": int,
    "subver": str,
    "inbound": bool,
    "bip152_hb_to": bool,
    "bip152_hb_from": bool,
    "presynced_headers": int,
    "synced_headers": int,
    "synced_blocks": int,
    "inflight": [int],
    "addr_relay_enabled": bool,
    "addr_processed": int,
    "addr_rate_limited": int,
    "permissions": TEXTS,
    "minfeefilter": float,
    "bytessent_per_msg": PER_MESSAGE,
    "bytesrecv_per_msg": PER_MESSAGE,
    "connection_type": str,
    "transport_protocol_type": str,
    "session_id": str,
    # ours
    "misbehavior": {"score": int, "violations": {"*": int}},
    "msgssent_per_msg": PER_MESSAGE,
    "msgsrecv_per_msg": PER_MESSAGE,
}
TOTALS = {
    "totalbytesrecv": int,
    "totalbytessent": int,
    "timemillis": int,
    "uploadtarget": {
        "timeframe": int,
        "target": int,
        "target_reached": bool,
        "serve_historical_blocks": bool,
        "bytes_left_in_cycle": int,
        "time_left_in_cycle": int,
    },
}
NETWORK_INFO = {
    "version": int,
    "subversion": str,
    "protocolversion": int,
    "localservices": str,
    "localservicesnames": TEXTS,
    "localrelay": bool,
    "timeoffset": int,
    "connections": int,
    "connections_in": int,
    "connections_out": int,
    "networkactive": bool,
    "networks": [
        {"name": str, "limited": bool, "reachable": bool, "proxy": str, "proxy_randomize_credentials": bool},
    ],
    "relayfee": float,
    "incrementalfee": float,
    "localaddresses": [{"address": str, "port": int, "score": int}],
    "warnings": TEXTS,
}
BIP9 = {
    "bit?": int,
    "start_time": int,
    "timeout": int,
    "min_activation_height": int,
    "status": str,
    "since": int,
    "status_next": str,
    "statistics?": {"period": int, "elapsed": int, "count": int, "threshold?": int, "possible?": bool},
    "signalling?": str,
}
BAN = {
    "address": str,
    "ban_created": int,
    "banned_until": int,
    "ban_duration": int,
    "time_remaining": int,
    "ban_reason": str,  # ours
}
RAW = {
    "*": {
        "address": str,
        "mapped_as?": int,
        "port": int,
        "network": str,
        "services": int,
        "time": int,
        "source": str,
        "source_network": str,
        "source_mapped_as?": int,
    }
}

GENESIS = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"
"""Regtest's."""

TIP = {"hash": str, "height": int}
BLOCKCHAIN_INFO = {
    "chain": str,
    "blocks": int,
    "headers": int,
    "bestblockhash": str,
    "bits": str,
    "target": str,
    "difficulty": NUMBER,
    "time": int,
    "mediantime": int,
    "verificationprogress": NUMBER,
    "initialblockdownload": bool,
    "chainwork": str,
    "size_on_disk": int,
    "pruned": bool,
    "signet_challenge?": str,
    "warnings": TEXTS,
}
HEADER = {
    "hash": str,
    "confirmations": int,
    "height": int,
    "version": int,
    "versionHex": str,
    "merkleroot": str,
    "time": int,
    "mediantime": int,
    "nonce": int,
    "bits": str,
    "target": str,
    "difficulty": NUMBER,
    "chainwork": str,
    "nTx": int,
    "previousblockhash?": str,
    "nextblockhash?": str,
}
SYNC = {
    "phase": str,
    "height": int,
    "best_time": int,
    "percent": NUMBER,
    "rate": NUMBER,
    "eta?": NUMBER,
    "presync_height?": NUMBER,
    "low_work": bool,
    "peers": [
        {
            "id": int,
            "synced_headers": int,
            "best_header?": str,
            "fork_height": int,
            "chainwork?": str,
            "ahead": bool,
            "presynced_headers": int,
            "leading": bool,
            "rate?": NUMBER,
            "waiting_batches": int,
            "asked_seconds_ago?": NUMBER,
        }
    ],
}
CHAINSTATE = {
    "blocks": int,
    "bestblockhash": str,
    "bits": str,
    "target": str,
    "difficulty": NUMBER,
    "verificationprogress": NUMBER,
    "coins_db_cache_bytes": int,
    "coins_tip_cache_bytes": int,
    "validated": bool,
}
MINING_INFO = {
    "blocks": int,
    "currentblocktx?": int,
    "currentblockweight?": int,
    "bits": str,
    "difficulty": NUMBER,
    "target": str,
    "networkhashps": NUMBER,
    "pooledtx": int,
    "blockmintxfee": NUMBER,
    "chain": str,
    "signet_challenge?": str,
    "next": {"height": int, "bits": str, "difficulty": NUMBER, "target": str},
    "warnings": TEXTS,
}
REORG = {
    "time": NUMBER,
    "fork_height": int,
    "fork_hash": str,
    "disconnected": int,
    "connected": int,
    "old_tip": str,
    "new_tip": str,
}
STATUS = {
    "chain": str,
    "phase": str,
    "percent": NUMBER,
    "height": int,
    "tip_time": int,
    "connections_in": int,
    "connections_out": int,
    "received_per_second": NUMBER,
    "sent_per_second": NUMBER,
    "network_active": bool,
}
SCORE = {"id": int, "addr": str, "score": int, "violations": {"*": int}}
BRANCHES = {
    "branches": [
        {
            "height": int,
            "hash": str,
            "fork_height": int,
            "fork_hash": str,
            "length": int,
            "grew_from": str,
            "grew_at": int,
            "time": int,
            "work": str,
            "work_missing": str,
            "status": str,
        }
    ],
    "waiting": [{"peer": int, "parent": str, "first": str, "headers": int, "seconds_left": NUMBER}],
}
LOCKED = dict.fromkeys(("used", "free", "total", "locked", "chunks_used", "chunks_free"), int)
DESCRIPTION = {
    "name": str,
    "category": str,
    "summary": str,
    "usage": str,
    "changes": bool,
    "args": [{"name": str, "type": str, "required": bool, "help": str, "completion": object}],
}

TRANSACTION = {
    "txid": str,
    "hash": str,
    "version": int,
    "size": int,
    "vsize": int,
    "weight": int,
    "locktime": int,
    "vin": [object],
    "vout": [{"value": NUMBER, "n": int, "scriptPubKey": {"asm": str, "desc": str, "hex": str, "type": str}}],
}
SIMPLE_TRANSACTION = "0200000000010000000000000000016a00000000"

SHAPES: dict[str, tuple[tuple[object, ...], Any]] = {
    "getconnectioncount": ((), int),
    "ping": ((), None),
    "getpeerinfo": ((), [PEER]),
    "addnode": (("1.2.3.4", "onetry", False), None),
    "getaddednodeinfo": (
        (),
        [{"addednode": str, "connected": bool, "addresses": [{"address": str, "connected": str}]}],
    ),
    "disconnectnode": (("", 0), None),
    "getnettotals": ((), TOTALS),
    "getnetworkinfo": ((), NETWORK_INFO),
    "setban": (("7.7.7.0/24", "add"), None),
    "listbanned": ((), [BAN]),
    "clearbanned": ((), None),
    "setnetworkactive": ((False,), bool),
    "getnodeaddresses": ((0,), [{"time": int, "services": int, "address": str, "port": int, "network": str}]),
    "getaddrmaninfo": ((), {"*": {"new": int, "tried": int, "total": int}}),
    "exportasmap": (("asmap.dat",), {"path": str, "bytes_written": int, "file_hash": str}),
    "addconnection": (("1.2.3.9:8333", "outbound-full-relay", False), {"address": str, "connection_type": str}),
    "addpeeraddress": (("1.2.3.4", 8333), {"success": bool, "error?": str}),
    "sendmsgtopeer": ((0, "addr", "ffffff"), {}),
    "getrawaddrman": ((), {"new": RAW, "tried": RAW}),
    "setmocktime": ((1_700_000_000,), None),
    "mockscheduler": ((60,), None),
    "exportaddrman": (("addresses.txt",), {"path": str, "written": int}),
    "getanchors": ((), {"loaded": [{"address": str, "outcome": str}], "to_save": [{"address": str}]}),
    "getblockchaininfo": ((), BLOCKCHAIN_INFO),
    "getchainstates": ((), {"headers": int, "chainstates": [CHAINSTATE]}),
    "getblockcount": ((), int),
    "getbestblockhash": ((), str),
    "getdifficulty": ((), NUMBER),
    "getdeploymentinfo": (
        (),
        {
            "hash": str,
            "height": int,
            "script_flags": TEXTS,
            "deployments": {"*": {"type": str, "active": bool, "height?": int, "bip9?": BIP9}},
        },
    ),
    "getblockhash": ((0,), str),
    "getblockheader": ((GENESIS,), HEADER),
    "getblockheaders": ((0,), [HEADER]),
    "getchaintips": ((), [{"height": int, "hash": str, "branchlen": int, "status": str}]),
    "getreorgs": ((), [REORG]),
    "getheadersyncinfo": ((), SYNC),
    "waitfornewblock": ((1,), TIP),
    "waitforblock": ((GENESIS, 1), TIP),
    "waitforblockheight": ((0, 1), TIP),
    "preciousblock": ((GENESIS,), None),
    "getmininginfo": ((), MINING_INFO),
    "validateaddress": (("x",), {"isvalid": bool, "error_locations": [int], "error": str}),
    "decodescript": (("51",), {"asm": str, "desc": str, "type": str, "p2sh": str, "segwit": {"*": str}}),
    "decoderawtransaction": ((SIMPLE_TRANSACTION,), TRANSACTION),
    "createrawtransaction": (([], {"data": "00"}), str),
    "getnetworkhashps": ((), NUMBER),
    "status": ((), STATUS),
    "getpeermessages": ((0,), [{"time": NUMBER, "direction": str, "command": str, "bytes": int}]),
    "getscores": ((), {"peers": [SCORE], "gone": [{**SCORE, "time": NUMBER, "reason": str}]}),
    "getorphanbranches": ((), BRANCHES),
    "loglevel": ((), {"*": str}),
    "getmemoryinfo": ((), {"locked": LOCKED, "rss": int, "peak_rss": int}),
    "help": ((), str),
    "describe": ((), [DESCRIPTION]),
    "uptime": ((), int),
    "getrpcinfo": ((), {"active_commands": [{"method": str, "duration": int}], "logpath": str}),
    "logging": ((), {"*": bool}),
    "getindexinfo": ((), {}),
    "syncwithvalidationinterfacequeue": ((), None),
    "echo": ((1, "a"), [object]),
}
"""Of every command: parameters, and the shape of its result. ``?`` ends a field that may be missing; ``*`` is any."""


def fits(value: object, shape: Any) -> str | None:
    """What is wrong with ``value``, None if it has the shape."""
    if shape is None or shape is object:
        return None if shape is object or value is None else f"{value!r} is not null"
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{value!r} is no list"
        return next((problem for item in value if (problem := fits(item, shape[0]))), None)
    if isinstance(shape, Mapping):
        return _fits_object(value, shape)
    good = isinstance(value, shape) and (shape is bool or not isinstance(value, bool))
    return None if good else f"{value!r} is no {shape}"


def _fits_object(value: object, shape: Mapping[str, Any]) -> str | None:
    if not isinstance(value, dict):
        return f"{value!r} is no object"
    if "*" in shape:
        return next((problem for item in value.values() if (problem := fits(item, shape["*"]))), None)
    wanted = {name.rstrip("?"): part for name, part in shape.items()}
    missing = [name for name in shape if not name.endswith("?") and name not in value]
    if missing or value.keys() - wanted.keys():
        return f"missing {missing}, unknown {sorted(value.keys() - wanted.keys())}"
    problems = {name: problem for name in value if (problem := fits(value[name], wanted[name]))}
    return f"{problems}" if problems else None
