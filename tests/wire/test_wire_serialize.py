"""CompactSize, the reader and the names of service bits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccnode.errors import DecodeError
from ccnode.wire.protocol import ServiceFlags, service_names
from ccnode.wire.serialize import MAX_SIZE, OversizeError, Reader, compact_size, sha256d, var_bytes

KNOWN = {
    0: "00",
    0xFC: "fc",
    0xFD: "fdfd00",
    0xFFFF: "fdffff",
    0x10000: "fe00000100",
    0xFFFFFFFF: "feffffffff",
    0x100000000: "ff0000000001000000",
    2**64 - 1: "ffffffffffffffffff",
}


@pytest.mark.parametrize(("number", "text"), KNOWN.items())
def test_compact_size_at_every_border(number, text):
    assert compact_size(number).hex() == text
    assert Reader(bytes.fromhex(text)).compact_number() == number


@given(st.integers(0, 2**64 - 1))
def test_compact_size_round_trip(number):
    reader = Reader(compact_size(number))
    assert reader.compact_number() == number
    assert reader.remaining == 0


@pytest.mark.parametrize(
    "text", ["fd0000", "fdfc00", "fe00000000", "feffff0000", "ff0000000000000000", "ffffffffff00000000"]
)
def test_longer_forms_of_small_numbers_are_refused(text):
    with pytest.raises(DecodeError, match="non-canonical"):
        Reader(bytes.fromhex(text)).compact_number()


def test_non_canonical_error_names_the_bytes_used():
    for text, size in (("fdfc00", 3), ("fe00000000", 5), ("ff0000000000000000", 9)):
        with pytest.raises(DecodeError, match=f"in {size} bytes"):
            Reader(bytes.fromhex(text)).compact_number()


def test_lengths_are_capped_numbers_are_not():
    assert Reader(compact_size(MAX_SIZE)).compact_size() == MAX_SIZE
    with pytest.raises(DecodeError, match="over the maximum"):
        Reader(compact_size(MAX_SIZE + 1)).compact_size()


@pytest.mark.parametrize(
    ("read", "size"),
    [
        (Reader.u8, 1),
        (Reader.u16, 2),
        (Reader.port, 2),
        (Reader.u32, 4),
        (Reader.i32, 4),
        (Reader.u64, 8),
        (Reader.i64, 8),
        (Reader.hash, 32),
        (Reader.boolean, 1),
        (lambda reader: reader.take(5), 5),
        (lambda reader: reader.skip(5), 5),
    ],
)
def test_every_read_ends_where_the_bytes_end(read, size):
    reader = Reader(bytes(size))
    read(reader)
    assert reader.remaining == 0
    with pytest.raises(DecodeError, match="truncated"):
        read(Reader(bytes(size - 1)))


def test_byte_orders():
    data = bytes.fromhex("0102030405060708")
    assert Reader(data).u16() == 0x0201
    assert Reader(data).port() == 0x0102
    assert Reader(data).u32() == 0x04030201
    assert Reader(data).u64() == 0x0807060504030201
    assert Reader(b"\xff" * 4).i32() == Reader(b"\xff" * 8).i64() == -1
    assert [Reader(bytes([byte])).boolean() for byte in (0, 1, 2)] == [False, True, True]


def test_counts_are_held_against_the_bytes_there_are():
    assert Reader(b"\x02" + bytes(8)).count(4) == 2
    with pytest.raises(DecodeError, match="truncated"):
        Reader(b"\x03" + bytes(8)).count(4)
    with pytest.raises(OversizeError, match="inv: 3 where at most 2"):
        Reader(b"\x03" + bytes(12)).limited_count(4, "inv", 2)
    with pytest.raises(DecodeError) as caught:  # too long and truncated is truncated
        Reader(b"\x03" + bytes(8)).limited_count(4, "inv", 2)
    assert not isinstance(caught.value, OversizeError)


def test_var_bytes():
    assert Reader(var_bytes(b"abc")).var_bytes(3) == b"abc"
    with pytest.raises(DecodeError, match="at most 2"):
        Reader(var_bytes(b"abc")).var_bytes(2)
    with pytest.raises(DecodeError, match="truncated"):
        Reader(b"\x04abc").var_bytes()


def test_sha256d():
    assert sha256d(b"").hex().startswith("5df6e0e2")


def test_service_names():
    assert service_names(0xC09) == ["NETWORK", "WITNESS", "NETWORK_LIMITED", "P2P_V2"]
    assert service_names(1 << 1 | 1 << 63) == ["UNKNOWN[2^1]", "UNKNOWN[2^63]"]
    assert service_names(0) == []
    assert ServiceFlags(1 << 24 | 1) & ServiceFlags.NETWORK
    assert int(ServiceFlags(1 << 24 | 1)) == 1 << 24 | 1
