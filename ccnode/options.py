"""The options of ccnode, as data: one field of `Config` per option.

The names are Bitcoin Core's wherever Core has the option, and so are units and defaults. A field's name is the
option's with ``_`` for ``-``. Beside the default stands how to read a value, what to say when it cannot be read, and
the help text; ``ccnode.config`` does the reading for every source alike.

Where Core's default depends on the network (port, minimum chain work) it is ``None`` here: the network's own.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from ccnode.log import LEVELS, find_categories

CHAINS: Final[Mapping[str, str]] = {
    "mainnet": "",
    "testnet3": "testnet3",
    "testnet4": "testnet4",
    "signet": "signet",
    "regtest": "regtest",
}
"""Built-in networks and their folders below the data directory, as Core names those."""

CHAIN_ALIASES: Final[Mapping[str, str]] = {"main": "mainnet", "test": "testnet3", "testnet": "testnet3"}
"""Core's names where ours differ."""

CHAIN_FLAGS: Final = ("regtest", "signet", "testnet", "testnet4")
"""``-regtest`` for ``-chain=regtest`` and so on, as in Core."""

NETWORKS: Final = ("ipv4", "ipv6", "onion", "i2p", "cjdns")
"""Values of ``onlynet``."""

BYTE_UNITS: Final[Mapping[str, int]] = {
    **{unit: 1000**power for power, unit in enumerate("kmgt", 1)},
    **{unit: 1024**power for power, unit in enumerate("KMGT", 1)},
}
"""Bytes of each unit: small letters decimal, capital ones binary."""

UPLOAD_TARGET_UNIT: Final = "M"
"""Of a ``maxuploadtarget`` without one."""

IGNORED: Final = frozenset(
    {
        "checkblockindex",
        "checkaddrman",
        "checkmempool",
        "logtimemicros",
        "logthreadnames",
        "logsourcelocations",
        "logratelimit",
        "shrinkdebugfile",
        "rpcthreads",
        "rpcworkqueue",
        "rpcservertimeout",
        "rpcdoccheck",
        "fallbackfee",
        "keypool",
        "unsafesqlitesync",
        "disablewallet",
        "blocksonly",
    }
)
"""Options of Core that test clients pass and that do nothing here. They are accepted; the node logs one line."""

MIN_PRUNE_MIB: Final = 550
"""The smallest `prune` in MiB but 1, which is manual (Core: ``MIN_DISK_SPACE_FOR_BLOCK_FILES``)."""

SECRET: Final = frozenset({"rpcauth", "rpcpassword"})
"""Options whose values are shown to nobody but those who wrote them."""

NOT_BUILT: Final[Mapping[str, str]] = {
    **dict.fromkeys(("acceptnonstdtxn", "minrelaytxfee", "persistmempool", "datacarriersize"), "a mempool"),
    **dict.fromkeys(("limitdescendantcount", "txreconciliation", "privatebroadcast"), "a mempool"),
    "rest": "the REST interface",
    "v2transport": "the encrypted transport (BIP324)",
    **dict.fromkeys(("i2psam", "i2pacceptincoming"), "I2P (no package for its SAM bridge is maintained)"),
    **dict.fromkeys(
        ("listenonion", "torcontrol"),
        "a client for Tor's control port (set up the service in torrc; bind=ADDR:PORT=onion)",
    ),
}
"""Options of Core for what the node does not have yet, and what that is. Whoever asks for it is refused; a "no" is
accepted like those of `IGNORED`."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How the text of a value becomes the value."""

    parse: Callable[[str], Any]
    """Raises ``ValueError`` for text that is not of this kind."""
    wants: str
    """Ends the sentence "KEY wants ..."."""
    bare: str | None = None
    """The text that ``--KEY`` without a value stands for; ``None``: a value is needed."""
    negated: str | None = None
    """The text that ``--noKEY`` stands for, where ``KEY`` is neither yes-or-no nor a list."""
    complaint: str | None = None
    """Core's whole sentence about a bad value, where clients know it; ``{}`` is the text."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option: everything that a reader of configuration knows about it."""

    name: str
    default: Any
    kind: Kind
    group: str
    help: str
    repeat: bool = False
    """Takes a list, and repeated keys add to it. Otherwise a later key replaces an earlier one."""


def _match(text: str, pattern: str) -> str:
    if not re.fullmatch(pattern, text):
        raise ValueError
    return text


def _boolean(text: str) -> bool:
    """Core's booleans are numbers, YAML's are words."""
    return _match(text.lower(), "1|true|yes|0|false|no") in ("1", "true", "yes")


def _number(text: str, low: int, high: int) -> int:
    value = int(_match(text, "-?[0-9]{1,20}|0x[0-9a-fA-F]{1,16}"), 16 if text.startswith("0x") else 10)
    if not low <= value <= high:
        raise ValueError
    return value


def _number_kind(low: int, high: int | None = None) -> Kind:
    limits = f"of at least {low}" if high is None else f"from {low} to {high}"
    return Kind(partial(_number, low=low, high=_MANY if high is None else high), f"a whole number {limits}")


def _path(text: str) -> Path:
    return Path(os.path.expanduser(_match(text, r"[^\0]+")))


def _mock_time(text: str) -> int | None:
    """Zero is off, as in Core."""
    return _number(text, 0, _MANY) or None


def _work(text: str) -> int:
    return int(_match(text.removeprefix("0x"), "[0-9a-fA-F]{1,64}"), 16)


def parse_bytes(text: str, default_unit: str) -> int:
    """A number of bytes with an optional unit of `BYTE_UNITS` (Core: ``ParseByteUnits``). ValueError."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in BYTE_UNITS and text else (text, default_unit)
    return _number(_match(number, "[0-9]+"), 0, _MANY // BYTE_UNITS[unit]) * BYTE_UNITS[unit]


def _block_hash(text: str) -> bytes:
    """In internal order; empty for 0."""
    if text in ("", "0"):
        return b""
    return bytes.fromhex(_match(text.removeprefix("0x"), "[0-9a-fA-F]{1,64}").zfill(64))[::-1]


def _upload_target(text: str) -> str:
    parse_bytes(text, UPLOAD_TARGET_UNIT)
    return text


def _script(text: str) -> bytes:
    return bytes.fromhex(_match(text, "([0-9a-fA-F]{2})+"))


def _checkpoint(text: str) -> tuple[int, bytes]:
    height, _, block_hash = text.partition(":")
    return _number(height, 0, _MANY), bytes.fromhex(_match(block_hash, "[0-9a-fA-F]{64}"))[::-1]


def _category(text: str) -> str:
    find_categories(text)
    return text


def _level(text: str) -> str:
    category, _, level = text.rpartition(":")  # without a category: all
    find_categories(category)
    if level not in LEVELS:
        raise ValueError
    return text


_MANY = 2**62  # Core's integers have 64 bits; this leaves room for sums

BOOLEAN = Kind(_boolean, "yes or no (or true, false, 1, 0)", bare="1")
PORT = _number_kind(0, 65535)
COUNT = _number_kind(0)
POSITIVE = _number_kind(1)
SECONDS = _number_kind(1, 86_400)
PING_SECONDS = _number_kind(1, 600)
PATIENCE = replace(POSITIVE, complaint="peertimeout must be a positive integer.")
MOCK_TIME = replace(COUNT, parse=_mock_time)
SERVICES = _number_kind(0, 2**64 - 1)
CHAIN = Kind(partial(_match, pattern="[a-z0-9][a-z0-9_-]{0,31}"), "a network's name", complaint="Unknown chain {}.")
PATH = Kind(_path, "a path")
HOST = Kind(partial(_match, pattern=r"[^\s\0]+"), "an address without spaces")
PROXY = Kind(partial(_match, pattern=r"[^\0]*"), "ADDR[:PORT] or unix:PATH", negated="0")
WORK = Kind(_work, "up to 64 hexadecimal digits", complaint="Invalid non-hex ({}) minimum chain work value specified")
ASSUME_VALID = Kind(
    _block_hash, "a block hash or 0", negated="0", complaint="Invalid assumevalid block hash specified ({})"
)
SYNC = Kind(partial(_match, pattern="headers|blocks"), "headers or blocks")
PRUNE = replace(COUNT, negated="0", complaint="Prune cannot be configured with a negative value.")
PARALLEL = _number_kind(-64, 64)
FILTER_INDEX = Kind(
    lambda text: text == "basic" or _boolean(text),
    "basic, yes or no",
    bare="1",
    negated="0",
    complaint="Unknown -blockfilterindex value {}.",
)
UPLOAD_TARGET = Kind(
    _upload_target, "a number with an optional unit", complaint="Unable to parse -maxuploadtarget: '{}'"
)
TEST = Kind(
    partial(_match, pattern="addrman|bip94"),
    "addrman or bip94",
    complaint='Unrecognised option "{}" provided in -test=<option>.',
)
ACTIVATION_HEIGHT = Kind(
    partial(_match, pattern=".*@.*"),
    "name@height",
    complaint="Invalid format ({}) for -testactivationheight=name@height.",
)
DEPLOYMENT = Kind(
    partial(_match, pattern="[^:]*(:[^:]*){2,3}"),
    "deployment:start:end, or deployment:start:end:min_activation_height",
    complaint="Version bits parameters malformed, expecting deployment:start:end[:min_activation_height]",
)
BLOCK_VERSION = _number_kind(-(2**31), 2**31 - 1)
SCRIPT = Kind(_script, "hexadecimal digits, two for each byte")
CHECKPOINT = Kind(_checkpoint, "a height and a hash of 64 hexadecimal digits")
NETWORK = Kind(
    partial(_match, pattern="|".join(NETWORKS)),
    f"one of {', '.join(NETWORKS)}",
    complaint="Unknown network specified in -onlynet: '{}'",
)
MISBEHAVIOR = Kind(partial(_match, pattern="core|classic"), "core or classic")
COMMENT = Kind(
    partial(_match, pattern=r"[A-Za-z0-9 .,;\-_?@]+"),
    "letters, digits and ' .,;-_?@'",
    complaint="User Agent comment ({}) contains unsafe characters.",
)
TEXT = Kind(partial(_match, pattern=r"[^\r\n\0]+"), "text of one line")
COOKIE_FILE = Kind(partial(_match, pattern=r"[^\0]*"), "a path", negated="")
COOKIE_PERMISSIONS = Kind(
    partial(_match, pattern="owner|group|all"),
    "owner, group or all",
    complaint="Invalid -rpccookieperms={}; must be one of 'owner', 'group', or 'all'.",
)
CATEGORY = Kind(_category, "a log category", bare="1", complaint="Unsupported logging category: {}.")
LEVEL = Kind(_level, f"LEVEL or CATEGORY:LEVEL, with a level of {', '.join(LEVELS)}")
MAPPING = Kind(partial(_match, pattern="(?!)"), "a mapping, in the configuration file")


def _option(default: Any, kind: Kind, group: str, text: str, **more: bool) -> Any:
    """A field of `Config` that is an option."""
    return field(default=default, metadata={"kind": kind, "group": group, "help": text, **more})


def _list(kind: Kind, group: str, text: str) -> Any:
    return _option((), kind, group, text, repeat=True)


@dataclass(frozen=True, slots=True)
class Config:
    """What the node runs with. Made by `ccnode.config.load_config`, or directly in a test."""

    chain: str = _option("mainnet", CHAIN, "Network", "a built-in network (our name or Core's), or that of `network`")
    network: Mapping[str, Any] | None = _option(
        None, MAPPING, "Network", "chain parameters of a network of your own, which `chain` names"
    )
    signetchallenge: bytes | None = _option(None, SCRIPT, "Network", "challenge script of a custom signet, in hex")
    signetseednode: tuple[str, ...] = _list(HOST, "Network", "seed node of a custom signet")
    test: tuple[str, ...] = _list(
        TEST, "Network", "addrman: place addresses by a known key; bip94: rules of testnet4 (regtest only)"
    )
    testactivationheight: tuple[str, ...] = _list(
        ACTIVATION_HEIGHT, "Network", "NAME@HEIGHT of segwit, bip34, dersig, cltv or csv (regtest only)"
    )
    vbparams: tuple[str, ...] = _list(
        DEPLOYMENT, "Network", "testdummy:START:END[:HEIGHT], when signals for it count (regtest only)"
    )
    minimumchainwork: int | None = _option(None, WORK, "Network", "least work of a chain worth following, in hex")
    maxtipage: int = _option(86400, COUNT, "Network", "seconds; with an older tip the node counts as still syncing")
    checkpoints: tuple[tuple[int, bytes], ...] = _list(
        CHECKPOINT, "Network", "a block that the chain must contain, HEIGHT:HASH; in the file a mapping of all of them"
    )
    mocktime: int | None = _option(None, MOCK_TIME, "Network", "Unix time at which to stop the clock (test networks)")

    datadir: Path = _option(  # noqa: RUF009  # a field() under another name
        Path(os.path.expanduser("~/.ccnode")), PATH, "Storage", "data directory; all but mainnet use a folder in it"
    )
    conf: Path | None = _option(None, PATH, "Storage", "configuration file")  # noqa: RUF009
    reindex_headers: bool = _option(
        False, BOOLEAN, "Storage", "keep the sound part of a damaged header file and go on from there"
    )

    sync: str | None = _option(
        None, SYNC, "Blocks", "headers: know the chain only; blocks: download, validate and serve them as well"
    )
    dbcache: int = _option(450, POSITIVE, "Blocks", "MiB of coins to keep in memory before they are written")
    par: int = _option(0, PARALLEL, "Blocks", "threads that verify scripts; 0 for one per core, -n leaves n cores free")
    prune: int = _option(
        0, PRUNE, "Blocks", "MiB of block files to keep, at least 550; 1: only when told (pruneblockchain); 0: all"
    )
    blockversion: int | None = _option(None, BLOCK_VERSION, "Blocks", "version of blocks made here (regtest only)")
    fastprune: bool = _option(
        False, BOOLEAN, "Blocks", "block files of 64 KiB, which may soon be pruned (for tests; keep to it)"
    )
    assumevalid: bytes | None = _option(
        None, ASSUME_VALID, "Blocks", "take the scripts of this block and its ancestors for valid; 0 to verify all"
    )
    reindex: bool = _option(False, BOOLEAN, "Blocks", "rebuild index and coins from the block files")
    reindex_chainstate: bool = _option(False, BOOLEAN, "Blocks", "rebuild the coins from the blocks on disk")
    blockfilterindex: bool = _option(
        False, FILTER_INDEX, "Blocks", "keep compact filters of all blocks (BIP158): getblockfilter, light clients"
    )
    peerblockfilters: bool = _option(
        False, BOOLEAN, "Blocks", "serve compact filters to peers (BIP157); needs blockfilterindex"
    )
    peerbloomfilters: bool = _option(
        False, BOOLEAN, "Blocks", "let peers load bloom filters (BIP37): they cost work, and tell which coins are whose"
    )
    loadblock: tuple[Path, ...] = _list(PATH, "Blocks", "read blocks from this file at the start (Core's blk*.dat)")

    connect: tuple[str, ...] = _list(HOST, "Connections", "connect to these nodes only; 0 for none at all")
    addnode: tuple[str, ...] = _list(HOST, "Connections", "keep a connection to this node as well; to eight at a time")
    seednode: tuple[str, ...] = _list(HOST, "Connections", "ask this node for addresses, then disconnect")
    listen: bool = _option(True, BOOLEAN, "Connections", "accept connections; off by default with connect")
    bind: tuple[str, ...] = _list(HOST, "Connections", "listen here only, ADDR[:PORT]; ADDR:PORT=onion for Tor's side")
    whitebind: tuple[str, ...] = _list(
        HOST, "Connections", "listen here as well, [PERMISSIONS@]ADDR:PORT, and give who connects there permissions"
    )
    port: int | None = _option(None, PORT, "Connections", "port to listen on; 0 lets the system choose")
    externalip: tuple[str, ...] = _list(
        HOST, "Connections", "an address of this node to tell others, ADDR[:PORT] (where it serves blocks)"
    )
    discover: bool = _option(
        True, BOOLEAN, "Connections", "find out addresses of this node; off with externalip, nolisten or a proxy"
    )
    natpmp: bool = _option(
        False, BOOLEAN, "Connections", "have the gateway let others in, by PCP or NAT-PMP (Core does so by default)"
    )
    maxconnections: int = _option(125, COUNT, "Connections", "most automatic connections, both directions together")
    networkactive: bool = _option(True, BOOLEAN, "Connections", "start with the network on")
    onlynet: tuple[str, ...] = _list(NETWORK, "Connections", "make automatic connections to such addresses only")
    proxy: tuple[str, ...] = _list(
        PROXY, "Connections", "connect through a SOCKS5 proxy, ADDR[:PORT] or unix:PATH; with =NETWORK to that one only"
    )
    onion: str | None = _option(None, PROXY, "Connections", "reach Tor through this SOCKS5 proxy; 0 for not at all")
    proxyrandomize: bool = _option(
        True, BOOLEAN, "Connections", "a new user and password for each connection, so that Tor isolates it"
    )
    cjdnsreachable: bool = _option(
        False, BOOLEAN, "Connections", "this machine is on CJDNS: fc00::/8 is that, and not private"
    )
    timeout: int = _option(5000, POSITIVE, "Connections", "milliseconds to wait for a connection")
    peertimeout: int = _option(60, PATIENCE, "Connections", "seconds a new peer may stay silent")
    maxreceivebuffer: int = _option(5000, POSITIVE, "Connections", "most bytes waiting from a peer, in thousands")
    maxsendbuffer: int = _option(1000, POSITIVE, "Connections", "most bytes waiting for a peer, in thousands")
    pinginterval: int = _option(120, PING_SECONDS, "Connections", "seconds between two pings of a peer")
    maxuploadtarget: str = _option(
        "0", UPLOAD_TARGET, "Connections", "most bytes to upload a day, soft: 500m, 2G, ... (no unit: M); 0 for any"
    )
    services: int | None = _option(None, SERVICES, "Connections", "service bits to announce (for tests)")
    uacomment: tuple[str, ...] = _list(COMMENT, "Connections", "comment in the user agent")

    whitelist: tuple[str, ...] = _list(
        HOST, "Protection", "give peers of an address or range permissions, [PERMISSIONS@]ADDR[/BITS]"
    )
    whitelistrelay: bool = _option(True, BOOLEAN, "Protection", "a whitelist without permissions gives relay")
    whitelistforcerelay: bool = _option(
        False, BOOLEAN, "Protection", "a whitelist without permissions gives forcerelay as well"
    )
    bansweepinterval: int = _option(900, SECONDS, "Protection", "seconds between two looks for bans that have ended")
    bantime: int = _option(86400, POSITIVE, "Protection", "seconds a ban lasts when nobody says how long")
    misbehavior: str = _option(
        "core", MISBEHAVIOR, "Protection", "core: drop and discourage at once; classic: points, a ban at 100"
    )
    maxinboundperip: int = _option(0, COUNT, "Protection", "most inbound connections from one address, 0 for any")
    maxinboundpernetgroup: int = _option(
        0, COUNT, "Protection", "most inbound connections from one net group (/16, /32 or AS), 0 for any"
    )

    dns: bool = _option(True, BOOLEAN, "Discovery", "look up names in connect, addnode and seednode")
    dnsseed: bool = _option(
        True, BOOLEAN, "Discovery", "ask the DNS seeds when addresses are few; off by default with connect"
    )
    forcednsseed: bool = _option(False, BOOLEAN, "Discovery", "ask the DNS seeds at every start")
    fixedseeds: bool = _option(
        True, BOOLEAN, "Discovery", "use addresses that came with the program where nothing else brings any"
    )
    dnsserver: tuple[str, ...] = _list(
        HOST, "Discovery", "name server for the DNS seeds, HOST[:PORT], instead of the system's"
    )

    asmap: Path | None = _option(  # noqa: RUF009
        None, PATH, "Discovery", "file that maps addresses to autonomous systems, to count peers by; below the datadir"
    )
    addrsaveinterval: int = _option(
        900, SECONDS, "Discovery", "seconds until what was learned about addresses is written; many are at once"
    )
    allowunroutable: bool = _option(
        False, BOOLEAN, "Discovery", "keep private and local addresses as well (for test networks)"
    )

    server: bool = _option(
        False, BOOLEAN, "RPC", "answer JSON-RPC over HTTP; on with rpcport and rpcbind (Core: by default)"
    )
    rpcport: int | None = _option(None, PORT, "RPC", "port of HTTP; 0 lets the system choose")
    rpcbind: tuple[str, ...] = _list(
        HOST, "RPC", "listen for HTTP here and not on this machine alone, ADDR[:PORT]; only together with rpcallowip"
    )
    rpcallowip: tuple[str, ...] = _list(HOST, "RPC", "answer HTTP from this address or range as well, ADDR[/BITS]")
    rpcuser: str | None = _option(None, TEXT, "RPC", "user of HTTP, with rpcpassword (rpcauth is better)")
    rpcpassword: str | None = _option(None, TEXT, "RPC", "password of HTTP; there is no cookie file then")
    rpcauth: tuple[str, ...] = _list(TEXT, "RPC", "user of HTTP and hash of the password, USER:SALT$HASH")
    rpccookiefile: str = _option(
        ".cookie", COOKIE_FILE, "RPC", "file with this run's password, below the datadir; norpccookiefile for none"
    )
    rpccookieperms: str = _option("owner", COOKIE_PERMISSIONS, "RPC", "who may read it: owner, group or all")
    rpcwhitelist: tuple[str, ...] = _list(TEXT, "RPC", "a user and all that he may call, USER:METHOD,METHOD,...")
    rpcwhitelistdefault: bool = _option(
        False, BOOLEAN, "RPC", "users without a rpcwhitelist may call nothing; on with rpcwhitelist"
    )

    debug: tuple[str, ...] = _list(CATEGORY, "Logging", "log this category in detail; 1 for all of them")
    debugexclude: tuple[str, ...] = _list(CATEGORY, "Logging", "do not log this category in detail")
    loglevel: tuple[str, ...] = _list(LEVEL, "Logging", "LEVEL or CATEGORY:LEVEL; trace, debug, info, warning, error")
    statusinterval: int = _option(
        10, SECONDS, "Logging", "seconds between log lines about progress, where the output is no terminal"
    )
    printtoconsole: bool = _option(True, BOOLEAN, "Logging", "log to the terminal as well")
    metrics: str | None = _option(
        None, HOST, "Logging", "IP:PORT at which Prometheus may collect figures; whoever can connect can read them"
    )
    capturemessages: bool = _option(
        False, BOOLEAN, "Logging", "write every message of every peer to files below message_capture/"
    )
    logips: bool = _option(False, BOOLEAN, "Logging", "write the addresses of peers to the log")

    origins: Mapping[str, str] = field(default_factory=dict)
    """Where each value that is not a default comes from: ``FILE:LINE``, ``command line``, ``implied by ...``."""
    ignored: tuple[str, ...] = ()
    """Options of Core that were given and do nothing here, each with its origin."""

    @property
    def automatic(self) -> bool:
        """Whether the node chooses peers by itself: not with ``connect``, nor with ``noconnect``."""
        return not self.connect and "connect" not in self.origins

    @property
    def folder(self) -> Path:
        """The network's own part of the data directory."""
        return self.datadir / CHAINS.get(self.chain, self.chain)


OPTIONS: Final[Mapping[str, Option]] = {
    option.name: option
    for option in (
        Option(item.name.replace("_", "-"), item.default, **item.metadata) for item in fields(Config) if item.metadata
    )
}
"""Every option by name, in the order of the help text."""
