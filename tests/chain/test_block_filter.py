"""Compact block filters: the published vectors, another implementation, and what decoding refuses."""

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccnode.chain.block_filter import (
    BASIC_FILTER_M,
    decode_filter,
    encode_filter,
    filter_hash,
    filter_header,
    filter_matches,
    filter_scripts,
)
from ccnode.errors import DecodeError
from ccnode.wire.blocks import Block

HASH = bytes(range(32))
SCRIPTS = st.sets(st.binary(min_size=1, max_size=40), max_size=60)


def vectors(path: Path) -> list[list]:
    return [row for row in json.loads(path.read_text()) if len(row) == 8]


@pytest.mark.parametrize("file", ["vectors/core/blockfilters.json", "vectors/bips/bip-0158_testnet-19.json"])
def test_the_published_vectors(data_dir: Path, file: str) -> None:
    rows = vectors(data_dir / file)
    assert len(rows) >= 10
    for height, block_hash, raw, spent, previous, expected, header, note in rows:
        block = Block.decode(bytes.fromhex(raw))
        assert block.hash[::-1].hex() == block_hash
        outputs = [[(txout.value, txout.script_pubkey) for txout in tx.vout] for tx in block.transactions()]
        scripts = filter_scripts(outputs, [bytes.fromhex(script) for script in spent])
        encoded = encode_filter(block.hash, scripts)
        assert encoded.hex() == expected, f"height {height}: {note}"
        assert filter_header(filter_hash(encoded), bytes.fromhex(previous)[::-1])[::-1].hex() == header
        assert len(decode_filter(encoded)) == len(scripts)
        for script in scripts:
            assert filter_matches(block.hash, encoded, [b"\0" * 99, script])


def test_an_empty_filter_is_one_byte() -> None:
    assert encode_filter(HASH, []) == b"\0"
    assert decode_filter(b"\0") == []
    assert not filter_matches(HASH, b"\0", [b"anything"])


def test_what_a_filter_holds() -> None:
    outputs = [[(1, b"\x51"), (0, b""), (0, b"\x6a\x01\x02"), (5, b"\x52")], [(2, b"\x51")]]
    assert filter_scripts(outputs, [b"\x53", b"", b"\x6a"]) == {b"\x51", b"\x52", b"\x53", b"\x6a"}


def test_scripts_of_one_number_are_written_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccnode.chain.block_filter.siphash", lambda _key, _script: 1 << 63)
    encoded = encode_filter(HASH, [b"a", b"b", b"c"])
    assert decode_filter(encoded) == [3 * BASIC_FILTER_M // 2] * 3


@given(SCRIPTS, SCRIPTS)
def test_what_is_in_matches_and_nearly_nothing_else_does(inside: set[bytes], outside: set[bytes]) -> None:
    encoded = encode_filter(HASH, inside)
    numbers = decode_filter(encoded)
    assert numbers == sorted(numbers)
    assert len(numbers) == len(inside)
    assert all(filter_matches(HASH, encoded, [script]) for script in inside)
    assert filter_matches(HASH, encoded, inside | outside) is bool(inside)


@given(SCRIPTS.filter(bool), st.integers(0, 400))
def test_a_filter_cut_short_or_with_more_behind_it_is_refused(inside: set[bytes], cut: int) -> None:
    encoded = encode_filter(HASH, inside)
    with pytest.raises(DecodeError):
        decode_filter(encoded[: cut % len(encoded)] if cut % len(encoded) else b"")
    with pytest.raises(DecodeError):
        decode_filter(encoded + b"\0")


@given(st.binary(max_size=80))
def test_any_bytes_are_a_filter_or_refused(data: bytes) -> None:
    try:
        numbers = decode_filter(data)
    except DecodeError:
        return
    assert numbers == sorted(numbers)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="btclib needs Python 3.11")
@given(SCRIPTS.filter(bool), SCRIPTS)
def test_another_implementation_reads_our_filters(inside: set[bytes], asked: set[bytes]) -> None:
    from btclib.block.block_filter import BasicBlockFilter

    encoded = encode_filter(HASH, inside)
    other = BasicBlockFilter.parse(encoded, HASH[::-1])
    assert other.element_hashes == decode_filter(encoded)
    assert other.hash == filter_hash(encoded)[::-1]
    for script in inside | asked:
        assert other.match(script) is filter_matches(HASH, encoded, [script])
