"""Messages that real nodes sent, and inputs that fuzzers found interesting."""

import io
import json
import tarfile
from collections import Counter

import pytest

from ccnode.errors import DecodeError, FramingError, WireError
from ccnode.wire.address import NetworkAddress
from ccnode.wire.addresses import AddrV2
from ccnode.wire.blocks import Block, MerkleBlock
from ccnode.wire.compact import CmpctBlock
from ccnode.wire.factory import MESSAGE_TYPES, MessageFactory
from ccnode.wire.framing import BAD_CHECKSUM, Frame, V1Transport
from ccnode.wire.message import Message
from ccnode.wire.serialize import Reader
from ccnode.wire.transaction import Transaction
from tests.support.data import read_xz
from tests.wire.wire_pcap import tcp_streams

MAGIC = bytes.fromhex("f9beb4d9")
FACTORY = MessageFactory()


def frames_of(stream: bytes) -> list[Frame]:
    transport = V1Transport(MAGIC)
    transport.receive_data(stream)
    return list(iter(transport.next_frame, None))


def bitcore_messages(data_dir) -> dict[str, bytes]:
    text = read_xz(data_dir / "p2p/bitcore_messages.json.xz")
    return {name: bytes.fromhex(entry["message"]) for name, entry in json.loads(text).items() if "message" in entry}


def test_one_message_of_each_kind(data_dir):
    seen = set()
    for name, stream in bitcore_messages(data_dir).items():
        (frame,) = frames_of(stream)
        assert (frame.fault, frame.size) == (None, len(stream))
        message = FACTORY.decode(frame.command, frame.payload)
        assert message.command == name
        if isinstance(message, Block):
            assert Block.build(message.header, message.transactions()) == message
        assert V1Transport(MAGIC).frame(name, message.encode()) == stream
        seen.add(name)
    assert len(seen) == 21


def test_a_flipped_bit_anywhere_is_noticed(data_dir):
    for name, stream in bitcore_messages(data_dir).items():
        for position in range(min(len(stream), 200)):
            if 4 <= position < 20:
                continue  # another command or length is another message
            broken = bytearray(stream)
            broken[position] ^= 0x40
            if position < 4:
                with pytest.raises(FramingError):
                    frames_of(bytes(broken))
            else:
                assert [frame.fault for frame in frames_of(bytes(broken))] == [BAD_CHECKSUM], name


def test_a_capture_of_mainnet(data_dir):
    counts: Counter[str] = Counter()
    for stream in tcp_streams(read_xz(data_dir / "p2p/bitnodes_2025-10-06.pcap.xz")):
        start = stream.find(MAGIC)  # a capture may begin in the middle of a message
        for frame in frames_of(stream[start:]) if start >= 0 else ():
            assert frame.fault is None
            message: Message = FACTORY.decode(frame.command, frame.payload)
            assert message.encode() == frame.payload or frame.command == "addrv2"
            if isinstance(message, AddrV2):
                assert 0 < len(message) <= 1000
                assert AddrV2.decode(message.encode()).entries == message.entries
            counts[frame.command] += 1
    assert counts == {"inv": 3518, "ping": 126, "pong": 19, "addrv2": 5, "addr": 3}


def test_a_real_compact_block(data_dir):
    payload = (data_dir / "p2p/cmpctblock_main_426884.raw").read_bytes()
    block = Block.decode(read_xz(data_dir / "blocks/main_426884.raw.xz"))
    message = CmpctBlock.decode(payload)
    assert message.encode() == payload
    assert message.header == block.header
    assert message.tx_count == len(block.transactions())
    assert [entry.index for entry in message.prefilled] == [0]
    assert message.prefilled[0].transaction.txid == block.transactions()[0].txid


def test_a_real_merkle_block(data_dir):
    payload = (data_dir / "p2p/merkleblock_main_300025.raw").read_bytes()
    block = Block.decode(read_xz(data_dir / "blocks/main_300025.raw.xz"))
    message = MerkleBlock.decode(payload)
    assert message.encode() == payload
    assert message.header == block.header
    assert message.total_transactions == len(block.transactions())


def corpus(data_dir, name: str) -> list[bytes]:
    archive = read_xz(data_dir / f"fuzz/{name}.tar.xz")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return [tar.extractfile(member).read() for member in tar if member.isfile()]


def assert_consumed_bytes_are_the_encoding(data: bytes) -> bool:
    """A transaction has one encoding: what was read is what would be written."""
    reader = Reader(data)
    try:
        transaction = Transaction.read(reader)
    except DecodeError:
        return False
    assert transaction.encode() == data[: reader.position]
    return True


@pytest.mark.parametrize(
    "name",
    ["rbk_transaction_roundtrip", "bitcoinfuzz_kernel_transaction", "bitcoinfuzz_transaction_eval"],
)
def test_fuzzed_transactions(data_dir, name):
    read = [assert_consumed_bytes_are_the_encoding(data) for data in corpus(data_dir, name)]
    assert any(read)
    assert not all(read)


@pytest.mark.parametrize(
    "name",
    ["bitcoinfuzz_deserialize_block", "bitcoinfuzz_kernel_block", "rbk_block_roundtrip"],
)
def test_fuzzed_blocks(data_dir, name):
    read = 0
    for data in corpus(data_dir, name):
        try:
            block = Block.decode(data)
            transactions = block.transactions()
        except WireError:
            continue
        again = Block.build(block.header, transactions)
        assert block.raw.startswith(again.raw)
        assert block.weight() >= 4 * 81
        read += 1
    assert read


def test_fuzzed_compact_blocks(data_dir):
    read = 0
    for data in corpus(data_dir, "bitcoinfuzz_cmpctblocks_parse"):
        try:
            message = CmpctBlock.decode(data)
        except WireError:
            continue
        assert data.startswith(message.encode())
        read += 1
    assert read


def test_fuzzed_addrv2(data_dir):
    read = 0
    for data in corpus(data_dir, "bitcoinfuzz_addrv2"):
        for payload in (data, data[1:], b"\x01" + data):
            try:
                message = AddrV2.decode(payload)
            except WireError:
                continue
            assert message.skipped or payload.startswith(message.encode())
            assert AddrV2.decode(message.encode()).entries == message.entries
            read += 1
    assert read


def test_fuzzed_text_is_no_address_of_a_node(data_dir):
    for data in corpus(data_dir, "bitcoinfuzz_address_parse"):
        text = data.decode("utf-8", "replace")
        for suffix in ("", ":8333", ".onion", ".b32.i2p"):
            try:
                address = NetworkAddress.parse(text + suffix, 1)
            except ValueError:
                continue
            assert NetworkAddress.parse(str(address)) == address


def test_every_corpus_through_every_decoder(data_dir):
    """Whatever the bytes were made for, only `WireError` comes out."""
    payloads = [
        data[:2000]
        for name in ("bitcoinfuzz_addrv2", "bitcoinfuzz_deserialize_block", "rbk_transaction_roundtrip")
        for data in corpus(data_dir, name)[::4]
    ]
    for payload in payloads:
        for command in MESSAGE_TYPES:
            try:
                FACTORY.decode(command, payload).encode()
            except WireError:
                continue
