"""Every message: round trips, truncation, trailing bytes, limits."""

import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccnode.errors import DecodeError
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import Addr, AddrV2, TimedAddress
from ccnode.wire.blocks import Block
from ccnode.wire.compact import CmpctBlock, GetBlockTxn
from ccnode.wire.factory import MESSAGE_TYPES, MessageFactory
from ccnode.wire.framing import V1Transport
from ccnode.wire.handshake import ServiceAddress, Verack, Version
from ccnode.wire.headers import GetHeaders, Headers
from ccnode.wire.inventory import Inv, InvItem
from ccnode.wire.keepalive import Ping, Pong
from ccnode.wire.message import Unknown
from ccnode.wire.serialize import OversizeError, compact_size
from tests.wire.wire_strategies import MESSAGES, any_message

MAGIC = bytes.fromhex("f9beb4d9")
FACTORY = MessageFactory()
quick = settings(max_examples=25)


def test_there_is_a_strategy_and_a_class_for_every_command():
    assert set(MESSAGES) == set(MESSAGE_TYPES)


@pytest.mark.parametrize("command", sorted(MESSAGES))
def test_round_trip_through_codec_and_transport(command):
    @quick
    @given(MESSAGES[command])
    def check(message):
        payload = message.encode()
        assert message.command == command
        assert FACTORY.decode(command, payload) == message
        stream = V1Transport(MAGIC).frame(command, payload)

        whole = V1Transport(MAGIC)
        whole.receive_data(stream)
        frame = whole.next_frame()
        assert frame == (command, payload, len(stream), None)
        assert whole.next_frame() is None

        drip = V1Transport(MAGIC)
        for i in range(len(stream)):
            assert drip.next_frame() is None
            drip.receive_data(stream[i : i + 1])
        assert drip.next_frame() == frame

    check()


@pytest.mark.parametrize("command", sorted(set(MESSAGES) - {"block"}))
def test_trailing_bytes_are_ignored(command):
    @quick
    @given(MESSAGES[command], st.binary(min_size=1, max_size=8))
    def check(message, tail):
        try:
            again = FACTORY.decode(command, message.encode() + tail)
        except DecodeError:
            # Only where a field may be missing can the tail be read as one.
            assert command in ("version", "ping")
            return
        if command not in ("version", "ping", "pong"):
            assert again == message

    check()


@quick
@given(any_message, st.data())
def test_a_truncated_payload_is_decoded_or_refused_never_worse(message, data):
    payload = message.encode()
    cut = data.draw(st.integers(0, len(payload)))
    try:
        FACTORY.decode(message.command, payload[:cut])
    except DecodeError:
        assert cut < len(payload)


@settings(max_examples=300)
@given(st.sampled_from(sorted(MESSAGES)), st.binary(max_size=200))
def test_random_payloads_raise_only_decode_errors(command, payload):
    try:
        message = FACTORY.decode(command, payload)
        if isinstance(message, Block):
            message.transactions()
    except DecodeError:
        return
    message.encode()


def test_unknown_commands_pass_through():
    assert FACTORY.decode("feature", b"\x04test") == Unknown("feature", b"\x04test")
    assert FACTORY.decode("feature", b"\x04test").encode() == b"\x04test"
    assert FACTORY.limit("feature") == 4_000_000


def test_own_payload_limit():
    assert FACTORY.limit("ping") == 1000
    assert FACTORY.decode("verack", bytes(1000)) == Verack()
    with pytest.raises(DecodeError, match="verack: payload of 1001 bytes"):
        FACTORY.decode("verack", bytes(1001))


def _vector(count: int, item: bytes, head: bytes = b"", tail: bytes = b"") -> bytes:
    return head + compact_size(count) + item * count + tail


ADDRV2_ITEM = struct.pack("<IBBB4sH", 1, 1, 1, 4, b"\1\2\3\4", 0)
LIMITED = [
    ("addr", 1000, bytes(30), b"", b""),
    ("addrv2", 1000, ADDRV2_ITEM, b"", b""),
    ("inv", 50_000, bytes(36), b"", b""),
    ("getdata", 50_000, bytes(36), b"", b""),
    ("notfound", 50_000, bytes(36), b"", b""),
    ("headers", 2000, bytes(81), b"", b""),
    ("getheaders", 101, bytes(32), bytes(4), bytes(32)),
    ("getblocks", 101, bytes(32), bytes(4), bytes(32)),
    ("filterload", 36_000, bytes(1), b"", bytes(9)),
    ("filteradd", 520, bytes(1), b"", b""),
    ("cfheaders", 2000, bytes(32), bytes(65), b""),
]


@pytest.mark.parametrize(("command", "limit", "item", "head", "tail"), LIMITED, ids=[row[0] for row in LIMITED])
def test_vector_limits(command, limit, item, head, tail):
    FACTORY.decode(command, _vector(limit, item, head, tail))
    with pytest.raises(OversizeError) as caught:
        FACTORY.decode(command, _vector(limit + 1, item, head, tail))
    assert (caught.value.command, caught.value.count, caught.value.limit) == (command, limit + 1, limit)


def test_hash_function_limit():
    FACTORY.decode("filterload", b"\0" + struct.pack("<IIB", 50, 0, 0))
    with pytest.raises(OversizeError):
        FACTORY.decode("filterload", b"\0" + struct.pack("<IIB", 51, 0, 0))


@pytest.mark.parametrize("command", sorted(MESSAGES))
def test_a_huge_declared_count_allocates_nothing(command):
    """Every field that could be a count says 32 Mi: refused without memory for it."""
    huge = b"\xfe" + (0x02000000).to_bytes(4, "little")
    tracemalloc.start()
    try:
        for head in range(130):
            try:
                message = FACTORY.decode(command, bytes(head) + huge + bytes(60))
                if isinstance(message, Block):
                    message.transactions()
            except DecodeError:
                pass
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


class TestVersion:
    def test_fields_in_order(self):
        message = Version(
            70016,
            0xC09,
            1_700_000_000,
            ServiceAddress(9, NetworkAddress.parse("1.2.3.4:8333")),
            ServiceAddress(),
            0x0102030405060708,
            b"/ccnode:1/",
            -1,
            False,
        )
        assert message.encode().hex() == (
            "80110100" "090c000000000000" "00f1536500000000"
            "0900000000000000" "00000000000000000000ffff01020304" "208d"
            "0000000000000000" "00000000000000000000000000000000" "0000"
            "0807060504030201" "0a2f63636e6f64653a312f" "ffffffff" "00"
        )  # fmt: skip

    def test_old_forms_and_defaults(self):
        full = Version(70016, 1, 2, nonce=5, user_agent=b"x", start_height=7, relay=False)
        payload = full.encode()
        assert Version.decode(payload[:46]).nonce is None
        assert Version.decode(payload[:80]).user_agent is None
        assert Version.decode(payload[:82]).start_height is None
        without_relay = Version.decode(payload[:86])
        assert without_relay.relay is None
        assert without_relay.relays_transactions
        assert not full.relays_transactions
        for cut in (45, 47, 79, 81, 85):
            with pytest.raises(DecodeError):
                Version.decode(payload[:cut])

    def test_negative_time_reads_as_zero(self):
        assert Version.decode(Version(1, 0, -5).encode()).timestamp == 0

    def test_user_agent_limit_and_cleaning(self):
        assert Version.decode(Version(1, 0, 0, user_agent=b"a" * 256).encode()).user_agent == b"a" * 256
        with pytest.raises(DecodeError, match="at most 256"):
            Version.decode(Version(1, 0, 0, user_agent=b"a" * 257).encode())
        nasty = Version(1, 0, 0, user_agent=b"/ok:1.0(a; b)/\x1b[31m<script>\xff")
        assert nasty.clean_user_agent == "/ok:1.0(a; b)/31mscript"


def test_ping_and_pong_without_nonce():
    assert FACTORY.decode("ping", b"") == Ping(None)
    with pytest.raises(DecodeError):
        FACTORY.decode("ping", bytes(7))
    assert FACTORY.decode("pong", bytes(7)) == Pong(None)
    assert FACTORY.decode("pong", b"\1" + bytes(7)) == Pong(1)


class TestHeaders:
    def test_split_and_build(self):
        headers = [bytes([i]) * 80 for i in range(5)]
        message = Headers.build(headers)
        assert message.encode() == b"\x05" + b"".join(header + b"\0" for header in headers)
        assert Headers.decode(message.encode()).split() == headers
        assert len(message) == 5
        assert Headers.build([]).encode() == b"\0"
        with pytest.raises(ValueError):
            Headers.build([bytes(79)])

    @pytest.mark.parametrize("count", [b"\x01", b"\xfc", b"\xfd\xfd\x00", b"\xfe\x00\x00\x01\x00"])
    def test_transaction_counts_are_skipped_whatever_they_say(self, count):
        headers = [bytes([i]) * 80 for i in range(3)]
        payload = b"\x03" + headers[0] + b"\0" + headers[1] + count + headers[2] + count
        message = Headers.decode(payload)
        assert message == Headers.build(headers)

    def test_transaction_count_must_still_be_a_compact_size(self):
        with pytest.raises(DecodeError, match="non-canonical"):
            Headers.decode(b"\x01" + bytes(80) + b"\xfd\x01\x00")
        with pytest.raises(DecodeError, match="truncated"):
            Headers.decode(b"\x01" + bytes(80))
        with pytest.raises(DecodeError, match="truncated"):
            Headers.decode(b"\x02" + bytes(81) + bytes(79))

    def test_another_networks_headers(self):
        factory = MessageFactory(header_size=100, headers_carry_tx_count=False)
        headers = [bytes([i]) * 100 for i in range(3)]
        message = Headers.build(headers, 100, False)
        assert message.encode() == b"\x03" + b"".join(headers)
        assert factory.decode("headers", message.encode()) == message
        assert factory.decode("headers", message.encode()).split() == headers
        with pytest.raises(DecodeError):
            factory.decode("headers", message.encode()[:-1])
        block = factory.decode("block", bytes(100) + b"\0")
        assert (block.header, block.transactions()) == (bytes(100), ())

    def test_too_many_are_punished_even_if_truncated(self):
        with pytest.raises(OversizeError):
            Headers.decode(compact_size(2001))


class TestAddresses:
    def test_entries_nobody_can_read_are_skipped_and_counted(self):
        def entry(network: int, addr: bytes) -> bytes:
            return struct.pack("<IBBB", 1, 0, network, len(addr)) + addr + b"\x20\x8d"

        good = entry(1, b"\1\2\3\4")
        unreadable = [
            entry(3, bytes(10)),  # Tor v2
            entry(99, bytes(200)),  # unknown
            entry(2, bytes(10) + b"\xff\xff\1\2\3\4"),  # IPv4 hidden in IPv6
            entry(2, bytes.fromhex("fd87d87eeb43") + bytes(10)),  # Tor v2 hidden in IPv6
        ]
        message = AddrV2.decode(compact_size(6) + good + b"".join(unreadable) + good)
        address = NetworkAddress(Network.IPV4, b"\1\2\3\4", 8333)
        assert message == AddrV2((TimedAddress(1, 0, address),) * 2, skipped=4)
        assert len(message) == 6

    def test_the_smallest_entry(self):
        assert AddrV2.decode(b"\x01" + struct.pack("<IBBBH", 1, 0, 99, 0, 0)) == AddrV2((), skipped=1)

    @pytest.mark.parametrize(("network", "size"), [(1, 5), (2, 15), (4, 31), (5, 33), (6, 4), (99, 513)])
    def test_wrong_length_spoils_the_message(self, network, size):
        entry = struct.pack("<IBB", 1, 0, network) + compact_size(size) + bytes(size) + b"\0\0"
        with pytest.raises(DecodeError):
            AddrV2.decode(b"\x01" + entry)

    def test_services_of_addrv2_have_no_cap(self):
        entry = TimedAddress(1, 2**64 - 1, NetworkAddress(Network.IPV4, b"\1\2\3\4", 1))
        assert AddrV2.decode(AddrV2((entry,)).encode()).entries == (entry,)

    def test_addr_writes_what_has_no_v1_form_as_zeros(self):
        onion = TimedAddress(1, 0, NetworkAddress(Network.ONION, b"\5" * 32, 8333))
        (entry,) = Addr.decode(Addr((onion,)).encode()).entries
        assert not entry.address.is_valid()


class TestCompactBlocks:
    def test_indexes_are_absolute_here_and_differences_on_the_wire(self):
        message = GetBlockTxn(bytes(32), (0, 1, 5, 65535))
        assert message.encode()[32:].hex() == "04" "00" "00" "03" "fdf9ff"  # fmt: skip
        assert GetBlockTxn.decode(message.encode()) == message

    def test_index_above_u16(self):
        with pytest.raises(DecodeError):
            GetBlockTxn.decode(bytes(32) + b"\x02" + b"\xfd\xff\xff" + b"\x00")

    def test_step_above_u16(self):
        tx = bytes(4) + b"\0\0" + bytes(4)
        CmpctBlock.decode(bytes(88) + b"\0" + b"\1" + b"\xfd\xff\xff" + tx)
        with pytest.raises(DecodeError, match="index step"):
            CmpctBlock.decode(bytes(88) + b"\0" + b"\1" + b"\xfe\x00\x00\x01\x00" + tx)

    def test_transaction_count_above_u16(self):
        assert CmpctBlock.decode(bytes(88) + compact_size(65535) + bytes(6 * 65535) + b"\0").tx_count == 65535
        with pytest.raises(DecodeError, match="65536 transactions"):
            CmpctBlock.decode(bytes(88) + compact_size(65536) + bytes(6 * 65536) + b"\0")
        prefilled = b"\1\0" + bytes(4) + b"\0\0" + bytes(4)
        with pytest.raises(DecodeError, match="65536 transactions"):
            CmpctBlock.decode(bytes(88) + compact_size(65535) + bytes(6 * 65535) + prefilled)


def test_long_and_short_inventories_take_the_same_meaning():
    items = tuple(InvItem(i, i.to_bytes(32, "little")) for i in range(300))
    for count in (0, 1, 252, 253, 300):
        message = Inv.build(items[:count])
        assert Inv.decode(message.encode()) == message
        assert Inv.decode(message.encode() + b"tail") == message
        assert Inv.decode(message.encode()).items() == list(items[:count])
        assert message.types() == list(range(count))
        assert [message.hash_at(i) for i in range(count)] == [item.hash for item in items[:count]]
    with pytest.raises(DecodeError, match="truncated"):
        Inv.decode(Inv.build(items).encode()[:-1])


ADDRESS_SIZES = {1: 4, 2: 16, 4: 32, 5: 32, 6: 16}
"""Bytes of an address by BIP155's number of its network."""


@pytest.mark.parametrize("size", [0, 4, 5, 10, 15, 16, 17, 31, 32, 33, 512, 513])
def test_addresses_of_every_network_with_any_length(size):
    """Of a known network the one right length is read, another spoils the message; unknown ones are stepped over."""
    good = AddrV2((TimedAddress(1, 9, NetworkAddress(Network.IPV4, b"\1\2\3\4", 8333)),))
    for network in range(256):
        entry = struct.pack("<IBB", 1, 9, network) + compact_size(size) + b"\xfc" * size + b"\x20\x8d"
        payload = b"\x02" + entry + good.encode()[1:]
        if size > 512 or ADDRESS_SIZES.get(network, size) != size:
            with pytest.raises(DecodeError):
                AddrV2.decode(payload)
            continue
        message = AddrV2.decode(payload)
        assert message.entries[-1:] == good.entries
        assert (len(message.entries), message.skipped) == ((2, 0) if network in ADDRESS_SIZES else (1, 1))


def test_locator_version_is_kept_but_defaults_to_ours():
    assert GetHeaders((bytes(32),)).encode()[:4] == struct.pack("<I", 70016)
    assert GetHeaders.decode(GetHeaders((), version=1).encode()).version == 1
