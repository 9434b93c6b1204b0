"""Header formats: Bitcoin's, and one with another size and another proof of work."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccnode.chain.formats import BITCOIN_FORMAT, Header
from ccnode.chain.networks import MAINNET
from ccnode.chain.pow import decode_compact, meets_target
from tests.chain.commitment_format import COMMITMENT_FORMAT
from tests.chain.support_chain import make_header, read_headers

uint32 = st.integers(0, (1 << 32) - 1)
digest = st.binary(min_size=32, max_size=32)
bitcoin_headers = st.builds(Header, st.integers(-(1 << 31), (1 << 31) - 1), digest, digest, uint32, uint32, uint32)
commitment_headers = st.builds(
    Header,
    st.integers(-(1 << 31), (1 << 31) - 1),
    digest,
    st.just(b""),
    uint32,
    uint32,
    uint32,
    st.binary(min_size=52, max_size=52),
)


@pytest.mark.parametrize(
    ("header_format", "headers"), [(BITCOIN_FORMAT, bitcoin_headers), (COMMITMENT_FORMAT, commitment_headers)]
)
@given(data=st.data())
def test_headers_survive_and_columns_agree(header_format, headers, data):
    batch = data.draw(st.lists(headers, max_size=5))
    raw = [header_format.serialize(header) for header in batch]
    assert [header_format.parse(r) for r in raw] == batch
    columns = header_format.columns(raw)
    assert columns.versions == [h.version for h in batch]
    assert columns.prevs == [h.prev for h in batch]
    assert columns.times == [h.time for h in batch]
    assert columns.bits == [h.bits for h in batch]
    assert header_format.unpack_columns(b"".join(raw)) == columns
    assert header_format.hashes(raw) == [header_format.hash(r) for r in raw]


@pytest.mark.parametrize("header_format", [BITCOIN_FORMAT, COMMITMENT_FORMAT])
def test_wrong_sizes(header_format):
    for size in (0, header_format.size - 1, header_format.size + 1):
        with pytest.raises(ValueError):
            header_format.parse(bytes(size))
    with pytest.raises(ValueError):
        header_format.unpack_columns(bytes(header_format.size + 1))


def test_pow_of_a_batch_agrees_with_each_by_itself(data_dir):
    headers = read_headers(data_dir / "headers/mainnet_000000_032259.bin.xz")[32200:]
    headers[10] = make_header(bytes(32), 0, 0x1D00FFFF)  # no work
    headers[20] = make_header(bytes(32), 0, 0x1D010000)  # over the limit
    hashes = BITCOIN_FORMAT.hashes(headers)
    bits = BITCOIN_FORMAT.columns(headers).bits
    limit = MAINNET.pow_limit
    for start in range(len(headers)):
        bad = [i for i in range(start, len(headers)) if not meets_target(hashes[i], bits[i], limit)]
        expected = bad[0] - start if bad else None
        assert BITCOIN_FORMAT.check_pow(headers[start:], hashes[start:], bits[start:], limit) == expected
    assert BITCOIN_FORMAT.check_pow([], [], [], limit) is None


def test_real_headers_of_a_hundred_bytes(data_dir):
    text = (data_dir / "coinbasechain/regtest_headers_1_20.hex").read_text()
    headers = [bytes.fromhex(line) for line in text.split()]
    columns = COMMITMENT_FORMAT.columns(headers)
    hashes = COMMITMENT_FORMAT.hashes(headers)
    limit = (1 << 255) - 1
    assert len(headers) == 20
    assert columns.prevs[1:] == hashes[:-1]
    assert COMMITMENT_FORMAT.check_pow(headers, hashes, columns.bits, limit) is None
    broken = headers[5][:-1] + bytes([headers[5][-1] ^ 1])
    while COMMITMENT_FORMAT.check_pow([broken], [b""], [0x207FFFFF], limit) is None:
        broken = broken[:70] + bytes([broken[70] + 1 & 255]) + broken[71:]
    assert COMMITMENT_FORMAT.check_pow([*headers[:5], broken], hashes[:6], columns.bits[:6], limit) == 5


@given(data=st.data())
def test_pow_close_to_the_target(data):
    bits = data.draw(st.integers(1, 0x20)) << 24 | data.draw(st.integers(1, 0x7FFFFF))
    limit = (1 << 255) - 1
    target = decode_compact(bits)[0]
    near = st.integers(max(0, target - 3), min(target + 3, (1 << 256) - 1)) if target < 1 << 256 else st.just(0)
    numbers = data.draw(st.lists(st.one_of(near, st.integers(0, min(target, limit))), min_size=1, max_size=4))
    hashes = [number.to_bytes(32, "little") for number in numbers]
    expected = next((i for i, h in enumerate(hashes) if not meets_target(h, bits, limit)), None)
    assert BITCOIN_FORMAT.check_pow([b""] * len(hashes), hashes, [bits] * len(hashes), limit) == expected
