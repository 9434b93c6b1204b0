"""Packed addresses: the same entries as the messages' own decoders, and the same refusals."""

from itertools import starmap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccnode.errors import DecodeError
from ccnode.wire.address import ADDRESS_SIZES, Network, NetworkAddress
from ccnode.wire.addresses import Addr, AddrV2, TimedAddress, pack_address, read_packed, unpack_address
from ccnode.wire.serialize import OversizeError, compact_size

TIMES = st.integers(0, 2**32 - 1)
SERVICES = st.one_of(st.integers(0, 0xFF), st.integers(0, 2**64 - 1))
ADDRESSES = st.sampled_from(list(ADDRESS_SIZES)).flatmap(
    lambda network: st.builds(
        NetworkAddress,
        st.just(network),
        st.binary(min_size=ADDRESS_SIZES[network], max_size=ADDRESS_SIZES[network]),
        st.integers(0, 65535),
    )
)
ENTRIES = st.lists(st.builds(TimedAddress, TIMES, SERVICES, ADDRESSES), max_size=8).map(tuple)


def packed(entries: tuple[TimedAddress, ...]) -> list[tuple[int, int, bytes]]:
    return [(entry.time, entry.services, pack_address(entry.address)) for entry in entries]


@given(ADDRESSES)
def test_an_address_survives_being_packed(address: NetworkAddress) -> None:
    if address.network is not Network.IPV6:  # what hides another network in IPv6 becomes that
        assert unpack_address(pack_address(address)) == address


@given(ENTRIES)
def test_addrv2_gives_the_entries_of_its_decoder(entries: tuple[TimedAddress, ...]) -> None:
    payload = AddrV2(entries).encode()
    assert read_packed("addrv2", payload) == packed(AddrV2.decode(payload).entries)


@given(ENTRIES.map(lambda all_: tuple(entry for entry in all_ if entry.address.is_v1_compatible())))
def test_addr_gives_the_entries_of_its_decoder(entries: tuple[TimedAddress, ...]) -> None:
    payload = Addr(entries).encode()
    again = (TimedAddress(time, services, unpack_address(key)) for time, services, key in read_packed("addr", payload))
    assert tuple(again) == Addr.decode(payload).entries


@given(st.binary(max_size=200).map(lambda tail: b"\4" + tail))
def test_any_payload_is_read_or_refused_like_by_the_decoder(payload: bytes) -> None:
    for command, kind in (("addr", Addr), ("addrv2", AddrV2)):
        try:
            expected = kind.decode(payload).entries
        except DecodeError:
            with pytest.raises(DecodeError):
                read_packed(command, payload)
        else:
            found = [(time, services, unpack_address(key)) for time, services, key in read_packed(command, payload)]
            assert list(starmap(TimedAddress, found)) == list(expected)


def test_unknown_networks_are_stepped_over() -> None:
    known = AddrV2((TimedAddress(1, 2, NetworkAddress.parse("1.2.3.4:8333")),)).encode()[1:]
    unknown = bytes(4) + b"\0" + b"\x63" + compact_size(300) + bytes(300) + bytes(2)
    entries = read_packed("addrv2", b"\2" + unknown + known)
    assert [str(unpack_address(key)) for _, _, key in entries] == ["1.2.3.4:8333"]


@pytest.mark.parametrize("command", ["addr", "addrv2"])
def test_more_than_a_thousand_entries_are_refused(command: str) -> None:
    with pytest.raises(OversizeError):
        read_packed(command, compact_size(1001) + bytes(40_000))
