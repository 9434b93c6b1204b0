"""Hypothesis strategies that draw any message, for the property tests of the wire."""

from hypothesis import strategies as st

from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import Addr, AddrV2, GetAddr, TimedAddress
from ccnode.wire.blocks import Block, MerkleBlock
from ccnode.wire.bloom import FilterAdd, FilterClear, FilterLoad
from ccnode.wire.compact import BlockTxn, CmpctBlock, GetBlockTxn, PrefilledTransaction
from ccnode.wire.filters import CFCheckpt, CFHeaders, CFilter, GetCFCheckpt, GetCFHeaders, GetCFilters
from ccnode.wire.handshake import (
    SendAddrV2,
    SendCmpct,
    SendHeaders,
    SendTxRcncl,
    ServiceAddress,
    Verack,
    Version,
    WtxidRelay,
)
from ccnode.wire.headers import GetBlocks, GetHeaders, Headers
from ccnode.wire.inventory import GetData, Inv, InvItem, MemPool, NotFound
from ccnode.wire.keepalive import FeeFilter, Ping, Pong
from ccnode.wire.legacy import Alert, Reject
from ccnode.wire.transaction import OutPoint, Transaction, Tx, TxIn, TxOut

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
i32 = st.integers(-(2**31), 2**31 - 1)
i64 = st.integers(-(2**63), 2**63 - 1)
time = st.integers(0, 2**63 - 1)
hash_ = st.binary(min_size=32, max_size=32)
hashes = st.lists(hash_, max_size=4).map(tuple)
reject_code = st.sampled_from([0x01, 0x10, 0x11, 0x12, 0x40, 0x41, 0x42, 0x43])
header = st.binary(min_size=80, max_size=80)


def fixed(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


v1_address = st.builds(NetworkAddress.from_v1, fixed(16) | fixed(4).map(lambda ip: bytes(10) + b"\xff\xff" + ip), u16)
v2_address = st.one_of(
    st.builds(NetworkAddress, st.just(Network.IPV4), fixed(4), u16),
    st.builds(NetworkAddress, st.just(Network.IPV6), fixed(15).map(lambda rest: b"\x20" + rest), u16),
    st.builds(NetworkAddress, st.sampled_from([Network.ONION, Network.I2P]), fixed(32), u16),
    st.builds(NetworkAddress, st.just(Network.CJDNS), fixed(15).map(lambda rest: b"\xfc" + rest), u16),
)
service_address = st.builds(ServiceAddress, u64, v1_address)


def _with_fields_missing(version: Version, kept: int) -> Version:
    """``version`` as an older node would send it, with only the first ``kept`` optional fields."""
    fields = ["nonce", "user_agent", "start_height", "relay"]
    values = {name: getattr(version, name) if i < kept else None for i, name in enumerate(fields)}
    return Version(
        version.version,
        version.services,
        version.timestamp,
        version.addr_recv,
        version.addr_from if kept else None,
        **values,
    )


def _full_version(numbers: st.SearchStrategy[int]) -> st.SearchStrategy[Version]:
    return st.builds(
        Version, numbers, u64, time, service_address, service_address, u64, st.binary(max_size=256), i32, st.booleans()
    )


modern_version = _full_version(st.integers(70001, 2**31 - 1))
version = st.builds(_with_fields_missing, _full_version(i32), st.integers(0, 4))

script = st.binary(max_size=40)
outpoint = st.builds(OutPoint, hash_, u32)
txout = st.builds(TxOut, i64, script)
witness = st.lists(st.binary(max_size=8), max_size=3).map(tuple)
txin = st.builds(TxIn, outpoint, script, u32, witness)


def _transaction(version: int, vin: tuple[TxIn, ...], vout: tuple[TxOut, ...], locktime: int) -> Transaction:
    return Transaction(version, vin, vout if vin else (), locktime)


transaction = st.builds(
    _transaction, u32, st.lists(txin, max_size=3).map(tuple), st.lists(txout, max_size=3).map(tuple), u32
)
transactions = st.lists(transaction, max_size=3).map(tuple)


def _prefilled(indexes: set[int], txs: list[Transaction]) -> tuple[PrefilledTransaction, ...]:
    return tuple(PrefilledTransaction(i, tx) for i, tx in zip(sorted(indexes), txs, strict=False))


timed_v1 = st.builds(TimedAddress, u32, u64, v1_address)
timed_v2 = st.builds(TimedAddress, u32, u64, v2_address)
items = st.lists(st.builds(InvItem, u32, hash_), max_size=5).map(tuple)

MESSAGES = {
    "version": version,
    "verack": st.just(Verack()),
    "wtxidrelay": st.just(WtxidRelay()),
    "sendaddrv2": st.just(SendAddrV2()),
    "sendtxrcncl": st.builds(SendTxRcncl, u32, u64),
    "sendheaders": st.just(SendHeaders()),
    "sendcmpct": st.builds(SendCmpct, st.booleans(), u64),
    "ping": st.builds(Ping, st.none() | u64),
    "pong": st.builds(Pong, st.none() | u64),
    "feefilter": st.builds(FeeFilter, i64),
    "addr": st.builds(Addr, st.lists(timed_v1, max_size=4).map(tuple)),
    "addrv2": st.builds(AddrV2, st.lists(timed_v2, max_size=4).map(tuple)),
    "getaddr": st.just(GetAddr()),
    "inv": st.builds(Inv.build, items),
    "getdata": st.builds(GetData.build, items),
    "notfound": st.builds(NotFound.build, items),
    "mempool": st.just(MemPool()),
    "getheaders": st.builds(GetHeaders, hashes, hash_, u32),
    "headers": st.builds(Headers.build, st.lists(header, max_size=4)),
    "getblocks": st.builds(GetBlocks, hashes, hash_, u32),
    "tx": st.builds(Tx, transaction),
    "block": st.builds(Block.build, header, transactions),
    "merkleblock": st.builds(MerkleBlock, header, u32, hashes, st.binary(max_size=8)),
    "filterload": st.builds(FilterLoad, st.binary(max_size=40), st.integers(0, 50), u32, u8),
    "filteradd": st.builds(FilterAdd, st.binary(max_size=40)),
    "filterclear": st.just(FilterClear()),
    "cmpctblock": st.builds(
        CmpctBlock,
        header,
        u64,
        st.lists(st.integers(0, 2**48 - 1), max_size=4).map(tuple),
        st.builds(_prefilled, st.sets(u16, max_size=3), st.lists(transaction, max_size=3)),
    ),
    "getblocktxn": st.builds(GetBlockTxn, hash_, st.sets(u16, max_size=6).map(lambda s: tuple(sorted(s)))),
    "blocktxn": st.builds(BlockTxn, hash_, transactions),
    "getcfilters": st.builds(GetCFilters, u8, u32, hash_),
    "cfilter": st.builds(CFilter, u8, hash_, st.binary(max_size=40)),
    "getcfheaders": st.builds(GetCFHeaders, u8, u32, hash_),
    "cfheaders": st.builds(CFHeaders, u8, hash_, hash_, hashes),
    "getcfcheckpt": st.builds(GetCFCheckpt, u8, hash_),
    "cfcheckpt": st.builds(CFCheckpt, u8, hash_, hashes),
    "reject": st.builds(Reject, st.binary(max_size=12), u8, st.binary(max_size=111), st.none() | hash_),
    "alert": st.builds(Alert, st.binary(max_size=40), st.binary(max_size=40)),
}
"""A strategy for every command."""

any_message = st.one_of(list(MESSAGES.values()))
