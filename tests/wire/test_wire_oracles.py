"""Our bytes against two other codecs: python-bitcoinlib for the old messages, btclib for all.

A message of ours is read by the other codec and written again: equal bytes mean that both understand every field
boundary the same way. What the fields mean is compared where the other codec names them.
"""

import io

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import AddrV2
from ccnode.wire.framing import V1Transport
from ccnode.wire.keepalive import Ping, Pong
from ccnode.wire.legacy import Reject
from ccnode.wire.protocol import ServiceFlags
from tests.wire import wire_strategies as draw
from tests.wire.wire_strategies import MESSAGES

MAGIC = bytes.fromhex("f9beb4d9")
quick = settings(max_examples=20)

# The other codecs know only today's form of some messages.
COMMON_FORMS = MESSAGES | {
    "version": draw.modern_version,
    "ping": st.builds(Ping, draw.u64),
    "pong": st.builds(Pong, draw.u64),
    "reject": st.builds(Reject, st.just(b"tx"), draw.reject_code, st.just(b"dust"), draw.hash_),
}

BTCLIB_CLASSES = {
    "version": "handshake.Version",
    "verack": "handshake.Verack",
    "ping": "keepalive.Ping",
    "pong": "keepalive.Pong",
    "addr": "address.Addr",
    "addrv2": "addrv2.AddrV2",
    "sendaddrv2": "addrv2.SendAddrV2",
    "wtxidrelay": "negotiation.WtxidRelay",
    "sendtxrcncl": "negotiation.SendTxRcncl",
    "sendheaders": "negotiation.SendHeaders",
    "feefilter": "negotiation.FeeFilter",
    "getaddr": "negotiation.GetAddr",
    "mempool": "negotiation.Mempool",
    "inv": "inventory.Inv",
    "getdata": "inventory.GetData",
    "notfound": "inventory.NotFound",
    "getheaders": "inventory.GetHeaders",
    "getblocks": "inventory.GetBlocks",
    "headers": "inventory.Headers",
    "tx": "data.TxPayload",
    "block": "data.BlockPayload",
    "merkleblock": "merkleblock.MerkleBlock",
    "sendcmpct": "compact_blocks.SendCmpct",
    "cmpctblock": "compact_blocks.CmpctBlock",
    "getblocktxn": "compact_blocks.GetBlockTxn",
    "blocktxn": "compact_blocks.BlockTxn",
    "getcfilters": "block_filters.GetCFilters",
    "cfilter": "block_filters.CFilter",
    "getcfheaders": "block_filters.GetCFHeaders",
    "cfheaders": "block_filters.CFHeaders",
    "getcfcheckpt": "block_filters.GetCFCheckpt",
    "cfcheckpt": "block_filters.CFCheckpt",
    "reject": "reject.Reject",
}


@pytest.mark.parametrize("command", sorted(BTCLIB_CLASSES))
def test_btclib_reads_and_writes_the_same_bytes(command):
    pytest.importorskip("btclib")
    module, name = BTCLIB_CLASSES[command].split(".")
    payload_class = getattr(pytest.importorskip(f"btclib.p2p.{module}"), name)

    @quick
    @given(COMMON_FORMS[command])
    def check(message):
        payload = message.encode()
        again = payload_class.parse(payload, check_validity=False)
        assert again.serialize(check_validity=False) == payload

    check()


# Left out: headers, which it writes without the transaction counts, and reject, of which it forgets the hash.
BITCOINLIB_COMMANDS = [
    *("version", "verack", "addr", "inv", "getdata", "notfound", "getblocks", "getheaders"),
    *("tx", "block", "getaddr", "ping", "pong", "mempool"),
]


@pytest.mark.parametrize("command", BITCOINLIB_COMMANDS)
def test_python_bitcoinlib_reads_and_writes_the_same_frame(command):
    messages = pytest.importorskip("bitcoin.messages")

    @quick
    @given(COMMON_FORMS[command])
    def check(message):
        frame = V1Transport(MAGIC).frame(command, message.encode())
        again = messages.MsgSerializable.stream_deserialize(io.BytesIO(frame))
        assert again.to_bytes() == frame

    check()


@quick
@given(draw.transaction)
def test_transaction_hashes_are_btclibs(transaction):
    tx_module = pytest.importorskip("btclib.tx.tx")
    assume(transaction.vin)
    other = tx_module.Tx.parse(transaction.encode(), check_validity=False)
    assert transaction.txid[::-1] == other.id
    assert transaction.wtxid[::-1] == other.hash
    assert transaction.weight == other.weight


@quick
@given(st.lists(draw.timed_v2, min_size=1, max_size=3).map(tuple))
def test_addrv2_fields_are_btclibs(entries):
    addrv2 = pytest.importorskip("btclib.p2p.addrv2")
    other = addrv2.AddrV2.parse(AddrV2(entries).encode())
    theirs = [(entry.network_id, entry.address, entry.port) for entry in other.addresses]
    assert theirs == [(*entry.address.to_bip155(), entry.address.port) for entry in entries]


def test_service_names_are_btclibs():
    address = pytest.importorskip("btclib.p2p.address")
    for flag in ServiceFlags:
        if flag:
            assert getattr(address.ServiceFlags, f"NODE_{flag.name}") == flag


def test_network_of_v1_addresses_is_the_standard_librarys():
    from ipaddress import IPv6Address

    for text in ("::ffff:1.2.3.4", "2001:470::1", "::", "fe80::1"):
        ip = IPv6Address(text)
        address = NetworkAddress.from_v1(ip.packed, 1)
        assert (address.network is Network.IPV4) == (ip.ipv4_mapped is not None)
        assert address.to_v1() == ip.packed
