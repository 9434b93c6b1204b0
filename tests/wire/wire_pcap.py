"""A minimal reader of pcap files: the byte streams of TCP connections, one per direction."""

from collections.abc import Iterator
from struct import Struct

LINKTYPE_ETHERNET = 1
LINKTYPE_RAW = 101
LINKTYPE_LINUX_SLL = 113
_LINK_HEADER_SIZE = {LINKTYPE_ETHERNET: 14, LINKTYPE_RAW: 0, LINKTYPE_LINUX_SLL: 16}
_RECORD = Struct("<IIII")
_TCP = 6


def tcp_streams(pcap: bytes) -> list[bytes]:
    """What was captured of each direction of each connection, in order; behind a gap a new stream begins."""
    flows: dict[bytes, list[tuple[int, bytes]]] = {}
    for flow, sequence, payload in _segments(pcap):
        flows.setdefault(flow, []).append((sequence, payload))
    return [stream for segments in flows.values() for stream in _joined(sorted(segments))]


def _joined(segments: list[tuple[int, bytes]]) -> Iterator[bytes]:
    stream, end = bytearray(), None
    for sequence, payload in segments:
        if end is not None and sequence > end:
            yield bytes(stream)
            stream, end = bytearray(), None
        end = sequence if end is None else end
        stream += payload[end - sequence :]  # what came before was sent again
        end = max(end, sequence + len(payload))
    yield bytes(stream)


def _segments(pcap: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Addresses and ports as bytes, sequence number, payload; of little-endian files with microseconds."""
    assert pcap[:4].hex() == "d4c3b2a1"
    link_header = _LINK_HEADER_SIZE[int.from_bytes(pcap[20:24], "little")]
    position = 24
    while position < len(pcap):
        captured = _RECORD.unpack_from(pcap, position)[2]
        position += _RECORD.size
        yield from _tcp_segment(pcap[position + link_header : position + captured])
        position += captured


def _tcp_segment(packet: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    version = packet[0] >> 4
    if version == 4:
        start, stop, protocol = (packet[0] & 15) * 4, int.from_bytes(packet[2:4], "big"), packet[9]
        addresses = packet[12:20]
    else:
        start, stop, protocol = 40, 40 + int.from_bytes(packet[4:6], "big"), packet[6]
        addresses = packet[8:40]
    if version not in (4, 6) or protocol != _TCP:
        return
    payload = packet[start + (packet[start + 12] >> 4) * 4 : stop]
    if payload:
        yield addresses + packet[start : start + 4], int.from_bytes(packet[start + 4 : start + 8], "big"), payload
