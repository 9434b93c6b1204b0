"""The v1 transport: every violation, any chunking, bounded memory."""

import random
import tracemalloc

import pytest

from ccnode.errors import FramingError
from ccnode.wire.framing import (
    BAD_CHECKSUM,
    BAD_COMMAND,
    HEADER,
    LARGE_PAYLOAD,
    PIECE_SIZE,
    Frame,
    Transport,
    V1Transport,
    command_name,
    padded_command,
)
from ccnode.wire.serialize import sha256d

MAGIC = bytes.fromhex("f9beb4d9")


def raw_frame(command: bytes, payload: bytes, *, magic: bytes = MAGIC, checksum: bytes | None = None) -> bytes:
    checksum = sha256d(payload)[:4] if checksum is None else checksum
    return HEADER.pack(magic, command, len(payload), checksum) + payload


def frames(transport: V1Transport, data: bytes) -> list[Frame]:
    transport.receive_data(data)
    out = []
    while (frame := transport.next_frame()) is not None:
        out.append(frame)
    return out


def test_it_is_a_transport():
    transport: Transport = V1Transport(MAGIC)
    assert (transport.name, transport.session_id, transport.can_send) == ("v1", None, True)
    assert transport.data_to_send() == b""
    assert transport.payload_buffer() is None


def test_known_bytes():
    assert V1Transport(MAGIC).frame("verack", b"").hex() == "f9beb4d976657261636b000000000000000000005df6e0e2"


def test_empty_payload_and_several_frames_in_one_read():
    transport = V1Transport(MAGIC)
    data = transport.frame("verack", b"") + transport.frame("ping", bytes(8)) + transport.frame("x" * 12, b"1")
    assert frames(transport, data) == [
        Frame("verack", b"", 24),
        Frame("ping", bytes(8), 32),
        Frame("x" * 12, b"1", 25),
    ]


@pytest.mark.parametrize("position", range(4))
def test_wrong_magic_ends_the_stream_when_the_header_is_complete(position):
    magic = bytearray(MAGIC)
    magic[position] ^= 1
    data = raw_frame(b"ping", bytes(8), magic=bytes(magic))
    transport = V1Transport(MAGIC)
    transport.receive_data(data[:23])
    assert transport.next_frame() is None
    transport.receive_data(data[23:24])
    for _ in range(2):  # and stays ended
        with pytest.raises(FramingError, match="wrong magic"):
            transport.next_frame()


def test_good_frames_before_a_wrong_magic_are_delivered():
    transport = V1Transport(MAGIC)
    transport.receive_data(transport.frame("verack", b"") + b"GET / HTTP/1.1\r\nHost: x\r\n")
    assert transport.next_frame() == Frame("verack", b"", 24)
    with pytest.raises(FramingError):
        transport.next_frame()


def test_length_limit_is_seen_before_the_payload_comes():
    transport = V1Transport(MAGIC)
    transport.receive_data(HEADER.pack(MAGIC, b"block", 4_000_001, bytes(4)))
    with pytest.raises(FramingError, match="4000001"):
        transport.next_frame()
    transport = V1Transport(MAGIC)
    transport.receive_data(HEADER.pack(MAGIC, b"block", 4_000_000, bytes(4)))
    assert transport.next_frame() is None
    assert transport.payload_buffer() is not None


def test_the_limit_may_change_between_messages():
    transport = V1Transport(MAGIC)
    transport.limit = 10
    assert frames(transport, transport.frame("a", bytes(10))) == [Frame("a", bytes(10), 34)]
    transport.limit = 20
    assert frames(transport, transport.frame("a", bytes(20))) == [Frame("a", bytes(20), 44)]
    transport.limit = 10
    with pytest.raises(FramingError):
        frames(transport, transport.frame("a", bytes(11)))


def test_a_bad_checksum_drops_one_message():
    transport = V1Transport(MAGIC)
    bad = raw_frame(b"ping", bytes(8), checksum=b"\0\0\0\0")
    assert frames(transport, bad + transport.frame("pong", b"")) == [
        Frame("ping", b"", 32, BAD_CHECKSUM),
        Frame("pong", b"", 24),
    ]


MALFORMED = [b"pi\0ng", b"\0ping", b"pin\x1f", b"pin\x7f", b"pin\xe9", b"ping\0\0\0\0\0\0\0x"]


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_command_drops_one_message(name):
    transport = V1Transport(MAGIC)
    data = raw_frame(name, b"1") + transport.frame("pong", b"")
    assert frames(transport, data) == [Frame("", b"", 25, BAD_COMMAND), Frame("pong", b"", 24)]


def test_the_checksum_is_judged_before_the_name():
    transport = V1Transport(MAGIC)
    assert frames(transport, raw_frame(b"pi\0ng", b"1", checksum=bytes(4))) == [Frame("", b"", 25, BAD_CHECKSUM)]


def test_command_fields():
    assert command_name(bytes(12)) == ""
    assert command_name(b"a b~!       ") == "a b~!       "
    assert command_name(b"abcdefghijkl") == "abcdefghijkl"
    for bad in ("thirteen_char", "pi\0ng", "nul\0", "\x7f"):
        with pytest.raises(ValueError):
            padded_command(bad)


@pytest.mark.parametrize("fault", [None, BAD_CHECKSUM, BAD_COMMAND])
@pytest.mark.parametrize("size", [LARGE_PAYLOAD, LARGE_PAYLOAD + 1, PIECE_SIZE, PIECE_SIZE + 1, 2 * PIECE_SIZE + 7])
def test_large_payloads_by_either_way_in(size, fault):
    rng = random.Random(size)
    payload = rng.randbytes(size)
    name = b"\1bad" if fault is BAD_COMMAND else b"block"
    checksum = bytes(4) if fault is BAD_CHECKSUM else None
    small = V1Transport(MAGIC).frame("ping", bytes(8))
    data = small + raw_frame(name, payload, checksum=checksum) + small
    expected = [
        Frame("ping", bytes(8), 32),
        Frame("block", payload, 24 + size)
        if fault is None
        else Frame("" if fault is BAD_COMMAND else "block", b"", 24 + size, fault),
        Frame("ping", bytes(8), 32),
    ]
    for lend in (False, True):
        transport, out, position = V1Transport(MAGIC), [], 0
        while position < len(data):
            chunk = data[position : position + rng.choice((1, 23, 1000, 70_000))]
            buffer = transport.payload_buffer() if lend else None
            if buffer is None:
                transport.receive_data(chunk)
            else:
                chunk = chunk[: len(buffer)]
                buffer[: len(chunk)] = chunk
                transport.payload_filled(len(chunk))
            position += len(chunk)
            while (frame := transport.next_frame()) is not None:
                out.append(frame)
        assert out == expected


def test_the_owner_cannot_report_more_than_was_lent():
    transport = V1Transport(MAGIC)
    with pytest.raises(ValueError):
        transport.payload_filled(1)
    transport.receive_data(HEADER.pack(MAGIC, b"block", 100_000, bytes(4)))
    assert transport.next_frame() is None
    buffer = transport.payload_buffer()
    assert buffer is not None
    assert len(buffer) == 100_000
    with pytest.raises(ValueError):
        transport.payload_filled(100_001)


def test_memory_stays_one_piece_ahead_of_the_data():
    transport = V1Transport(MAGIC)
    tracemalloc.start()
    try:
        transport.receive_data(HEADER.pack(MAGIC, b"block", 4_000_000, bytes(4)))
        assert transport.next_frame() is None
        assert tracemalloc.get_traced_memory()[1] < PIECE_SIZE + 20_000
        transport.receive_data(bytes(PIECE_SIZE + 1))
        assert transport.next_frame() is None
        assert tracemalloc.get_traced_memory()[0] < 2 * PIECE_SIZE + 20_000
    finally:
        tracemalloc.stop()
