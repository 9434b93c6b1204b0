"""What makes a network: one frozen value that every other part is given.

Networks are data. Code asks a `ChainParams` for the header format, the difficulty rule, the limits; it never asks for
the network's name. The built-in values are in `ccnode.chain.networks`; a configuration file can describe another
(`ccnode.chain.custom`). (Core: ``kernel/chainparams.cpp``, ``consensus/params.h``.)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import ClassVar

from ccnode.chain.difficulty import DifficultyRule
from ccnode.chain.formats import BITCOIN_FORMAT, HeaderFormat

MIN_BLOCKS_TO_KEEP = 288
"""Blocks up to the tip that no node with blocks deletes, and that it serves in any case (Core: ``validation.h``;
BIP159: ``NODE_NETWORK_LIMITED``); also how far ahead of the tip a block is stored that nobody asked for."""

ANY_VERSION = -(1 << 31)
"""The lowest version that a header can carry; before BIP34 no rule asked for more."""


@dataclass(frozen=True, slots=True)
class SoftForks:
    """Heights from which the buried soft forks hold (the first block that must obey)."""

    bip34: int = 1
    bip65: int = 1
    bip66: int = 1
    csv: int = 1
    segwit: int = 1

    def required_version(self, height: int) -> int:
        """The lowest header version allowed at ``height``: 4, 3, 2, or before all forks the lowest there is."""
        if height >= self.bip65:
            return 4
        if height >= self.bip66:
            return 3
        return 2 if height >= self.bip34 else ANY_VERSION


@dataclass(frozen=True, slots=True)
class Deployment:
    """A soft fork that miners turn on by signals (BIP9; Core: ``BIP9Deployment``). A negative start is a constant."""

    ALWAYS_ACTIVE: ClassVar = -1
    NEVER_ACTIVE: ClassVar = -2
    NO_TIMEOUT: ClassVar = 2**63 - 1

    name: str
    bit: int  # 0 to 28
    start_time: int = 0  # Unix seconds, compared with median times
    timeout: int = NO_TIMEOUT
    min_activation_height: int = 0
    period: int = 2016  # blocks over which signals are counted
    threshold: int = 1815  # signals that lock it in


@dataclass(frozen=True, slots=True)
class UnknownSignals:
    """When signals that no deployment accounts for are a warning."""

    from_height: int = 0  # the first block of a period; what was signalled before is known to be settled
    period: int = 2016
    threshold: int = 1815


@dataclass(frozen=True, slots=True)
class AddressPrefixes:
    """How the network writes addresses and keys: base58 version bytes and the bech32 human-readable part."""

    pubkey: bytes
    script: bytes
    secret: bytes
    ext_public: bytes
    ext_secret: bytes
    bech32_hrp: str


@dataclass(frozen=True, slots=True)
class TxHistory:
    """How many transactions a chain had at some time, and how many come: to tell how far validation is."""

    time: int  # Unix seconds
    count: int
    rate: float  # transactions per second


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainParams:
    """Everything in which one network differs from another. Hashes are in internal byte order."""

    name: str  # ours: mainnet, testnet3, ...
    core_name: str  # what Core's -chain and RPCs call it: main, test, ...
    aliases: tuple[str, ...] = ()
    magic: bytes  # the four bytes that start every message
    default_port: int
    rpc_port: int
    data_subdir: str  # below the data directory; empty for mainnet

    genesis: bytes  # the serialized header
    header_format: HeaderFormat = BITCOIN_FORMAT
    headers_carry_tx_count: bool = True  # whether `headers` messages put a CompactSize after each header
    difficulty: DifficultyRule
    pow_limit: int
    spacing: int = 600  # intended seconds between blocks
    soft_forks: SoftForks = field(default_factory=SoftForks)
    deployments: tuple[Deployment, ...] = ()
    unknown_signals: UnknownSignals | None = None  # None: nobody is warned
    bip34_hash: bytes | None = None  # of the block at the BIP34 height: no transaction repeats on its chain (BIP30)
    minimum_chain_work: int = 0  # no chain with less work is the real one
    assumevalid: bytes | None = None
    checkpoints: Mapping[int, bytes] = field(default_factory=dict)
    subsidy_halving_interval: int = 210_000  # blocks
    signet_challenge: bytes | None = None

    dns_seeds: tuple[str, ...] = ()
    fixed_seeds: tuple[str, ...] = ()  # numeric HOST[:PORT]
    prefixes: AddressPrefixes
    presync_period: int  # headers per commitment bit in low-work synchronisation
    presync_buffer: int  # headers held back there before they are released
    prune_after_height: int = 1000
    mockable: bool = False  # whether setmocktime and mockscheduler are allowed
    tx_history: TxHistory | None = None
    assumed_blocks_gb: int = 0  # what block files of a whole chain take, in 10**9 bytes; 0 if nobody knows
    assumed_coins_gb: int = 0  # the same for the coins
    headers_only: bool = False  # what `sync` is where nobody says: headers, and not blocks

    @property
    def genesis_hash(self) -> bytes:
        """The genesis block's hash."""
        return self.header_format.hash(self.genesis)


def signet_magic(challenge: bytes) -> bytes:
    """The magic of the signet with this challenge script (BIP325). ``challenge`` must be shorter than 253 bytes."""
    if len(challenge) >= 0xFD:
        raise ValueError(f"a signet challenge has fewer than 253 bytes, not {len(challenge)}")
    return sha256(sha256(bytes([len(challenge)]) + challenge).digest()).digest()[:4]
