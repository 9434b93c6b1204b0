"""Descriptors and their checksum, against BIP380's vectors and Core's own examples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccnode.chain.descriptors import DescriptorError, checksum, parse_descriptor, with_checksum
from ccnode.chain.networks import MAINNET, REGTEST

EXAMPLE = "raw(76a91411b366edfc0a8b66feebae5c2e25a7b6a5d1cf3188ac)"


def test_the_checksum_is_cores() -> None:
    assert with_checksum(EXAMPLE) == f"{EXAMPLE}#fm24fxxy"
    assert checksum("raw(deadbeef)") == "89f8spxm"  # BIP380


def test_both_forms_mean_a_script() -> None:
    script = bytes.fromhex("76a91411b366edfc0a8b66feebae5c2e25a7b6a5d1cf3188ac")
    assert parse_descriptor(EXAMPLE, MAINNET.prefixes) == script
    assert parse_descriptor(f"{EXAMPLE}#fm24fxxy", MAINNET.prefixes) == script
    assert parse_descriptor("addr(12cbQLTFMXRnSzktFkuoG3eHoMeFtpTu3S)", MAINNET.prefixes) == script
    assert parse_descriptor("raw(42)", REGTEST.prefixes) == b"\x42"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("raw(deadbeef)##89f8spxm", "Multiple '#' symbols"),
        ("raw(deadbeef)#89f8spxmx", "Expected 8 character checksum, not 9 characters"),
        ("raw(deadbeef)#", "Expected 8 character checksum, not 0 characters"),
        ("raw(deedbeef)#89f8spxm", "Provided checksum '89f8spxm' does not match computed checksum"),
        ("raw(Ü)#00000000", "Invalid characters in payload"),
        ("raw(xyz)", "Raw script is not hex"),
        ("addr(asdf)", "Address is not valid"),
        ("\N{SNOWMAN}", "Invalid characters in payload"),
        ("2NFyxovf6MyxfHqtVjstGzs6HeLqv92Nq4U", "'2NFyxovf6MyxfHqtVjstGzs6HeLqv92Nq4U' is not a valid descriptor"),
    ],
)
def test_what_is_wrong_is_said_in_cores_words(text: str, sentence: str) -> None:
    with pytest.raises(DescriptorError) as caught:
        parse_descriptor(text, REGTEST.prefixes)
    assert str(caught.value).startswith(sentence)


@given(st.binary(min_size=1, max_size=60), st.data())
def test_a_changed_character_is_found(script: bytes, data: st.DataObject) -> None:
    text = with_checksum(f"raw({script.hex()})")
    at = data.draw(st.integers(4, 3 + 2 * len(script)))
    other = data.draw(st.sampled_from(sorted(set("0123456789abcdef") - {text[at]})))
    assert parse_descriptor(text, REGTEST.prefixes) == script
    with pytest.raises(DescriptorError):
        parse_descriptor(text[:at] + other + text[at + 1 :], REGTEST.prefixes)
