"""MuHash3072 and the hashes of a set of coins, against Core's own vectors."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccnode.chain.utxo_stats import UtxoHash, UtxoStats, UtxoSummary

muhash = pytest.importorskip("ccnode.chain.muhash")
MuHash3072 = muhash.MuHash3072


def _member(i: int) -> bytes:
    """Core's test members: a byte and 31 zeros."""
    return bytes((i,)) + bytes(31)


def test_cores_vector() -> None:
    """``crypto_tests.cpp``: members 0 and 1 in, member 2 out."""
    found = MuHash3072([_member(0), _member(1)])
    found.remove(_member(2))
    assert found.digest()[::-1].hex() == "10d312b100cbd32ada024a6646e40d3482fcff103668d2625f10002a607d5863"


def test_the_empty_set() -> None:
    assert MuHash3072().digest() == sha256((1).to_bytes(384, "little")).digest()


@settings(max_examples=20)
@given(st.lists(st.binary(max_size=40), max_size=8), st.randoms(use_true_random=False))
def test_neither_order_nor_what_is_taken_out_again_matters(members: list[bytes], random: object) -> None:
    shuffled = list(members)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    other = MuHash3072([*shuffled, b"extra"])
    other.remove(b"extra")
    assert other.digest() == MuHash3072(members).digest()


def _coin(height: int, value: int, script: bytes, coinbase: bool = False) -> bytes:
    return (height << 1 | coinbase).to_bytes(4, "little") + value.to_bytes(8, "little") + script


COINS = sorted(
    (bytes((txid,)) * 32 + index.to_bytes(4, "little"), _coin(txid, 100 + index, b"\x51" * (index % 7), txid == 1))
    for txid in (1, 2, 9)
    for index in (0, 1, 256)
)


def utxo_stats(coins: list[tuple[bytes, bytes]], kind: UtxoHash, at_once: int = 100) -> UtxoStats:
    summary = UtxoSummary(kind)
    for i in range(0, len(coins), at_once):
        summary.add(coins[i : i + at_once])
    return summary.finish()


@pytest.mark.parametrize("kind", list(UtxoHash))
def test_slices_make_no_difference(kind: UtxoHash) -> None:
    assert len({utxo_stats(COINS, kind, at_once) for at_once in range(1, 10)}) == 1


def test_figures() -> None:
    stats = utxo_stats(COINS, UtxoHash.NONE)
    assert (stats.transactions, stats.coins, stats.hash) == (3, 9, None)
    assert stats.total == 3 * (100 + 101 + 356)
    assert stats.bogosize == 9 * 50 + 3 * (0 + 1 + 4)


def test_the_serialized_hash_goes_by_rising_index_and_not_by_bytes() -> None:
    def number(pair: tuple[bytes, bytes]) -> tuple[bytes, int]:
        return pair[0][:32], int.from_bytes(pair[0][32:], "little")

    data = b""
    for outpoint, coin in sorted(COINS, key=number):
        script = coin[12:]
        data += outpoint + coin[:12] + bytes((len(script),)) + script
    assert utxo_stats(COINS, UtxoHash.SERIALIZED).hash == sha256(sha256(data).digest()).digest()


def test_muhash_of_coins() -> None:
    members = [outpoint + coin[:12] + bytes((len(coin) - 12,)) + coin[12:] for outpoint, coin in COINS]
    assert utxo_stats(COINS, UtxoHash.MUHASH).hash == MuHash3072(reversed(members)).digest()
