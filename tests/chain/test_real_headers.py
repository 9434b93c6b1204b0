"""Real headers of the real networks, by their rules; and with one bit flipped."""

import base64
import json
from random import Random

import pytest

from ccnode.chain.headers import ChainStart
from ccnode.chain.networks import MAINNET, REGTEST, SIGNET, TESTNET3, from_display
from ccnode.chain.pow import block_proof
from tests.chain.support_chain import new_chain, outcome, read_headers
from tests.support.data import read_xz

TESTNET3_FORK_TIME = 1_566_000_000


def accept_all(chain, headers, size=2000):
    for i in range(0, len(headers), size):
        batch = headers[i : i + size]
        assert outcome(chain.accept(batch)) == (len(batch), None)


def bitcoinj(data_dir, network):
    """Height to (chain work, header) of bitcoinj's checkpoints."""
    lines = read_xz(data_dir / f"headers/bitcoinj_checkpoints_{network}.txt.xz").decode().split("\n")[3:]
    raw = [base64.b64decode(line) for line in lines if line]
    return {int.from_bytes(r[12:16], "big"): (int.from_bytes(r[:12], "big"), r[16:]) for r in raw}


@pytest.mark.parametrize(
    ("name", "params", "tip"),
    [
        (
            "mainnet_000000_032259",
            MAINNET,
            "000000008a5b32a0610b2b0eeb5390e30e157324bf28c09ab83ccbb99184c38b",
        ),
        ("mainnet_alt_headers_0_2016", MAINNET, None),
        ("regtest_000_100", REGTEST, None),
        ("signet_0000_2015", SIGNET, "000000c0a3841a6ae64c45864ae25314b40fd522bfb299a4b6bd5ef288cae74d"),
    ],
)
@pytest.mark.parametrize("size", [2000, 777])
def test_headers_from_genesis(data_dir, name, params, tip, size):
    headers = read_headers(data_dir / f"headers/{name}.bin.xz")
    chain, store, _ = new_chain(params)
    assert outcome(chain.accept(headers[:1])) == (0, None)
    accept_all(chain, headers[1:], size)
    assert store.headers == headers
    assert chain.index.height(chain.index.tip) == len(headers) - 1
    if tip is not None:
        assert chain.index.hash(chain.index.tip) == from_display(tip)


def test_work_is_that_of_the_checkpoints(data_dir):
    """bitcoinj's checkpoints carry the work of the chain up to the header before them, and it included."""
    chain, _, _ = new_chain(MAINNET)
    accept_all(chain, read_headers(data_dir / "headers/mainnet_000000_032259.bin.xz")[1:])
    checkpoints = {h: c for h, c in bitcoinj(data_dir, "mainnet").items() if h < 32260}
    assert len(checkpoints) == 16
    for height, (work, header) in checkpoints.items():
        entry = chain.index.active_at(height)
        assert chain.header_bytes(entry) == header
        assert chain.index.chain_work(entry) == work


def test_work_of_all_checkpoints_adds_up(data_dir):
    """From checkpoint to checkpoint: a period of the old bits but its first header, and the first of the new."""
    checkpoints = bitcoinj(data_dir, "mainnet")
    work, bits = block_proof(0x1D00FFFF), 0x1D00FFFF
    assert len(checkpoints) == 436
    for height in sorted(checkpoints):
        new_bits = MAINNET.header_format.parse(checkpoints[height][1]).bits
        work += 2015 * block_proof(bits) + block_proof(new_bits)
        assert work == checkpoints[height][0]
        bits = new_bits


def test_two_mainnets(data_dir):
    """The alternative chain has more work at height 2016 than the real one at 2016, and less than that at 2020."""
    real = read_headers(data_dir / "headers/mainnet_000000_032259.bin.xz")
    other = read_headers(data_dir / "headers/mainnet_alt_headers_0_2016.bin.xz")
    chain, _, _ = new_chain(MAINNET)
    changes = []
    chain.subscribe(changes.append)
    accept_all(chain, real[1:2017])
    accept_all(chain, other[1:])
    assert [change.is_reorg for change in changes] == [False, False, True]
    reorg = changes[-1]
    assert reorg.fork == 0
    assert (len(reorg.disconnected), len(reorg.connected)) == (2016, 2016)
    accept_all(chain, real[2017:2030])
    assert chain.index.height(chain.index.tip) == 2029
    assert len(chain.index.tips()) == 2
    assert chain.index.fork_point(*chain.index.tips()) == 0


def test_stale_headers_fork_off(data_dir):
    headers = read_headers(data_dir / "headers/mainnet_822528_830592.bin.xz")
    work, first = bitcoinj(data_dir, "mainnet")[822528]
    assert first == headers[0]
    chain, _, _ = new_chain(MAINNET, start=ChainStart(first, 822528, work))
    accept_all(chain, headers[1:])
    stale = []
    for line in read_xz(data_dir / "headers/stale_headers_shared.csv.xz").decode().split()[1:]:
        height, block_hash, header = line.split(",")
        if 822528 < int(height) <= 830592 and header:
            stale.append((int(height), from_display(block_hash), bytes.fromhex(header)))
    index = chain.index
    tip = index.tip
    attached = 0
    for height, block_hash, header in sorted(stale):
        result = chain.accept([header])
        assert result.verdict is None
        assert (index.height(result.last), index.hash(result.last)) == (height, block_hash)
        assert not index.in_active(result.last)
        assert index.chain_work(result.last) == index.chain_work(index.active_at(height))
        assert index.fork_point(tip, result.last) == index.active_at(height - 1)
        attached += 1
    assert index.tip == tip
    assert attached >= 5
    assert len(index.tips()) == attached + 1
    assert index.chain_work(index.active_at(830592)) == bitcoinj(data_dir, "mainnet")[830592][0]


@pytest.mark.parametrize(("name", "height"), [("mainnet_300000_300499", 300_000), ("mainnet_665280_665407", 665_280)])
def test_stretches_of_mainnet(data_dir, name, height):
    headers = read_headers(data_dir / f"headers/{name}.bin.xz")
    chain, _, _ = new_chain(MAINNET, start=ChainStart(headers[0], height, 1 << 80))
    end = 2016 - height % 2016
    accept_all(chain, headers[1:end])
    if end < len(headers):  # the retarget within needs headers from before the stretch: start anew behind it
        chain, _, _ = new_chain(MAINNET, start=ChainStart(headers[end], height + end, 1 << 80))
        accept_all(chain, headers[end + 1 :])


def test_testnet3_and_its_fork(data_dir):
    lines = read_xz(data_dir / "headers/core_blockheader_testnet3.hex.xz").decode().split()
    main = [bytes.fromhex(line) for line in lines if not line.startswith("fork:")]
    fork = [bytes.fromhex(line.removeprefix("fork:")) for line in lines if line.startswith("fork:")]
    chain, _, _ = new_chain(TESTNET3)
    accept_all(chain, main)
    assert chain.index.height(chain.index.tip) == 546
    accept_all(chain, fork)
    assert chain.index.height(len(chain.index) - 1) == 2
    assert not chain.index.in_active(len(chain.index) - 1)


def test_signet_checkpoint(data_dir):
    hashes = json.loads(read_xz(data_dir / "headers/electrum_checkpoints_signet.json.xz"))
    headers = read_headers(data_dir / "headers/signet_0000_2015.bin.xz")
    assert SIGNET.header_format.hash(headers[-1]) == from_display(hashes[0][0])
    work, header = bitcoinj(data_dir, "signet")[2016]
    chain, _, _ = new_chain(SIGNET)
    accept_all(chain, [*headers[1:], header])
    assert chain.index.chain_work(chain.index.tip) == work


def test_one_flipped_bit_anywhere(data_dir):
    """Every bit of a header, in several headers: never accepted, and for the right reason."""
    headers = read_headers(data_dir / "headers/mainnet_000000_032259.bin.xz")[:60]
    chain, _, _ = new_chain(MAINNET)
    accept_all(chain, headers[1:50])
    rng = Random(80)
    for bit in range(640):
        height = rng.randrange(50, 60)
        raw = bytearray(headers[height])
        raw[bit // 8] ^= 1 << bit % 8
        batch = [*headers[50:height], bytes(raw), *headers[height + 1 : 60]]
        result = chain.check_batch(batch).verdict
        assert (result.index, result.reason) == (height - 50, "high-hash")
    assert len(chain.index) == 50


def test_flipped_bits_with_work_enough(data_dir):
    """Without the proof of work in the way, each field is guarded by its own rule."""
    headers = read_headers(data_dir / "headers/regtest_000_100.bin.xz")
    reasons = set()
    for bit in range(640):
        chain, _, _ = new_chain(REGTEST)
        accept_all(chain, headers[1:40])
        raw = bytearray(headers[40])
        raw[bit // 8] ^= 1 << bit % 8
        result = chain.accept([bytes(raw)])
        if result.verdict is None:  # half of all hashes are good enough: a new merkle root or nonce is another block
            assert 36 <= bit // 8 < 72 or bit // 8 >= 76 or bit < 32
        else:
            reasons.add(result.verdict.reason.partition("(")[0])
            if result.verdict.reason == "prev-blk-not-found":
                assert 4 <= bit // 8 < 36
            if result.verdict.reason == "bad-diffbits":
                assert 72 <= bit // 8 < 76
    assert (
        {"high-hash", "prev-blk-not-found"}
        <= reasons
        <= {
            "high-hash",
            "prev-blk-not-found",
            "bad-diffbits",
            "time-too-old",
            "time-too-new",
            "bad-version",
        }
    )
