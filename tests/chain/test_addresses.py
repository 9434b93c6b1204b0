"""Addresses against Core's own vectors, btclib as a second opinion, and a fuzzer's corpus."""

import hashlib
import json
import lzma
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccnode.chain import hash160 as hashing
from ccnode.chain.addresses import AddressError, decode_address, encode_address, witness_script
from ccnode.chain.hash160 import hash160
from ccnode.chain.networks import MAINNET, NETWORKS, REGTEST, get_params
from ccnode.chain.script import witness_program


def _vectors(data_dir: Path, name: str) -> list[list]:
    return json.loads((data_dir / "vectors/core" / name).read_text())


def test_cores_valid_addresses_are_read_and_written(data_dir: Path) -> None:
    seen = 0
    for text, script, about in _vectors(data_dir, "key_io_valid.json"):
        if about["isPrivkey"]:
            continue
        prefixes = get_params(about["chain"]).prefixes
        assert decode_address(text, prefixes).hex() == script
        assert encode_address(bytes.fromhex(script), prefixes) == text
        if about.get("tryCaseFlip"):
            assert decode_address(text.swapcase(), prefixes).hex() == script
        seen += 1
    assert seen > 30


def test_cores_invalid_addresses_are_refused(data_dir: Path) -> None:
    for (text,) in _vectors(data_dir, "key_io_invalid.json"):
        for params in NETWORKS:
            with pytest.raises(AddressError):
                decode_address(text, params.prefixes)


def test_an_address_of_another_network_is_refused(data_dir: Path) -> None:
    for text, _, about in _vectors(data_dir, "key_io_valid.json"):
        if about["chain"] == "main":
            with pytest.raises(AddressError):
                decode_address(text, REGTEST.prefixes)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "Invalid or unsupported Segwit (Bech32) or Base58 encoding."),
        ("bcrt1q049edschfnwystcqnsvyfpj23mpsg3jcedq9xv1", "Invalid separator position"),
        ("bcrt1q049edschfnwystcqnsvyfpj23mpsg3jcedq9xV", "Invalid character or mixed case"),
        ("bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqz8p7d9", "Invalid checksum"),
        ("17VZNX1SN5NtKa8UQFxwQbFeFc3iqRYhem", "Invalid or unsupported Base58-encoded address."),
        ("mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJJfn", "Invalid checksum or length of Base58 address (P2PKH or P2SH)"),
        ("asfah14i8fajz0123f", "Invalid or unsupported Segwit (Bech32) or Base58 encoding."),
        ("", "Invalid or unsupported Segwit (Bech32) or Base58 encoding."),
        ("1" * 4000, "Invalid or unsupported Segwit (Bech32) or Base58 encoding."),
    ],
)
def test_what_is_wrong_is_said_in_cores_words(text: str, sentence: str) -> None:
    with pytest.raises(AddressError) as caught:
        decode_address(text, REGTEST.prefixes)
    assert str(caught.value).startswith(sentence)


def test_no_text_of_a_fuzzers_corpus_does_harm(data_dir: Path) -> None:
    with lzma.open(data_dir / "fuzz/bitcoinfuzz_address_parse.tar.xz") as packed, tarfile.open(fileobj=packed) as tar:
        inputs = [tar.extractfile(member).read() for member in tar if member.isfile()]
    assert len(inputs) > 200
    for raw in inputs:
        text = raw.decode("latin-1")
        for prefixes in (MAINNET.prefixes, REGTEST.prefixes):
            try:
                script = decode_address(text, prefixes)
            except AddressError:
                continue
            assert encode_address(script, prefixes).lower() == text.lower()


@given(st.binary(max_size=60))
def test_a_script_with_an_address_is_found_again(script: bytes) -> None:
    for params in (MAINNET, REGTEST):
        text = encode_address(script, params.prefixes)
        if text is not None:
            assert decode_address(text, params.prefixes) == script


@given(st.integers(0, 16), st.binary(min_size=2, max_size=40))
def test_witness_programs(version: int, program: bytes) -> None:
    script = witness_script(version, program)
    assert witness_program(script) == (version, program)
    text = encode_address(script, MAINNET.prefixes)
    assert (text is None) == (version == 0 and len(program) not in (20, 32))


@given(st.text(max_size=120))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    with suppress(AddressError):
        decode_address(text, MAINNET.prefixes)


def test_hash160_without_openssls_ripemd(monkeypatch: pytest.MonkeyPatch) -> None:
    known = "b472a266d0bd89c13706a4132ccfb16f7c3b9fcb"  # of the empty string
    assert hash160(b"").hex() == known

    def refuse(name: str, *_: object) -> None:
        raise ValueError(f"unsupported hash type {name}")

    hashing._ripemd160.cache_clear()
    monkeypatch.setattr(hashlib, "new", refuse)
    try:
        assert hash160(b"").hex() == known
    finally:
        hashing._ripemd160.cache_clear()
