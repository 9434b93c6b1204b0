"""Compact block filters for light clients (BIP157; Core: ``PrepareBlockFilterRequest``).

A request names a type of filter, the height of its first block and the hash of its last: the filters of up to 1000
blocks, the filter hashes of up to 2000, or the filter headers at every 1000th block. It ends the connection if we do
not offer that type, do not know or do not show the last block, or if the range is empty or too long. It is met with
silence while the index has not got so far.

Stale blocks have filters too, as long as they are shown at all (see ``serve_blocks.py``).
"""

import logging
from collections.abc import Sequence
from typing import Protocol

from ccnode.chain.block_filter import GENESIS_PREVIOUS
from ccnode.chain.headers import HeaderChain
from ccnode.peers.peer import Peer
from ccnode.wire.filters import (
    BASIC_FILTER,
    CFCHECKPT_INTERVAL,
    MAX_GETCFHEADERS_SIZE,
    MAX_GETCFILTERS_SIZE,
    CFCheckpt,
    CFHeaders,
    CFilter,
    GetCFCheckpt,
    GetCFHeaders,
    GetCFilters,
)

log = logging.getLogger("ccnode.sync")

FILTERS_AT_ONCE = 20
"""Filters read before the peer is waited for: half a megabyte of them."""


class StoredFilters(Protocol):
    """The index of filters. Hashes are block hashes; None where it lacks any that is asked for."""

    def wait_filters(self, hashes: Sequence[bytes]) -> list[bytes] | None:
        """The encoded filters."""
        ...

    def wait_hashes(self, hashes: Sequence[bytes]) -> list[bytes] | None:
        """The hashes of the filters."""
        ...

    def wait_headers(self, hashes: Sequence[bytes]) -> list[bytes] | None:
        """The filter headers."""
        ...


class FilterServer:
    """Answers requests for filters. Its handlers wait; they are for peers to which filters were offered."""

    def __init__(self, chain: HeaderChain, filters: StoredFilters) -> None:
        self._chain = chain
        self._index = chain.index
        self._filters = filters

    def wait_on_getcfilters(self, peer: Peer, message: GetCFilters) -> None:
        """A message for each block."""
        entries = self._range(peer, message, MAX_GETCFILTERS_SIZE)
        hashes = [self._index.hash(n) for n in entries]
        if not hashes or self._lacks(peer, self._filters.wait_headers(hashes)):
            return
        for start in range(0, len(hashes), FILTERS_AT_ONCE):
            peer.wait_drained()
            if peer.closing:
                return
            some = hashes[start : start + FILTERS_AT_ONCE]
            for block_hash, encoded in zip(some, self._filters.wait_filters(some) or (), strict=False):
                peer.send(CFilter(BASIC_FILTER, block_hash, encoded))

    def wait_on_getcfheaders(self, peer: Peer, message: GetCFHeaders) -> None:
        """The filter hashes of a range, and the filter header before it."""
        entries = self._range(peer, message, MAX_GETCFHEADERS_SIZE)
        if not entries:
            return
        previous = self._previous_header(entries[0])
        hashes = self._filters.wait_hashes([self._index.hash(n) for n in entries])
        if previous is None or hashes is None:
            self._lacks(peer, None)
        else:
            peer.send(CFHeaders(BASIC_FILTER, message.stop_hash, previous, tuple(hashes)))

    def wait_on_getcfcheckpt(self, peer: Peer, message: GetCFCheckpt) -> None:
        """The filter headers at every 1000th block."""
        stop = self._stop(peer, message.filter_type, message.stop_hash, message.command)
        if stop is None:
            return
        heights = range(CFCHECKPT_INTERVAL, self._index.height(stop) + 1, CFCHECKPT_INTERVAL)
        hashes = [self._index.hash(self._index.ancestor(stop, height)) for height in heights]
        headers = self._filters.wait_headers(hashes)
        if headers is None:
            self._lacks(peer, None)
        else:
            peer.send(CFCheckpt(BASIC_FILTER, message.stop_hash, tuple(headers)))

    def _range(self, peer: Peer, message: GetCFilters | GetCFHeaders, limit: int) -> Sequence[int]:
        """The entries that are asked for; none, and the peer disconnected, if they may not be."""
        stop = self._stop(peer, message.filter_type, message.stop_hash, message.command)
        if stop is None:
            return ()
        start, stop_height = message.start_height, self._index.height(stop)
        if not self._index.base_height <= start <= stop_height or stop_height - start >= limit:
            peer.disconnect(f"{message.command} from height {start} to {stop_height}")
            return ()
        first = self._index.ancestor(stop, start)
        return [first, *self._index.branch(first, stop)]

    def _stop(self, peer: Peer, filter_type: int, stop_hash: bytes, command: str) -> int | None:
        """The last block of a request; None, and the peer disconnected, if it may not be asked for."""
        stop = self._index.find(stop_hash)
        if filter_type != BASIC_FILTER:
            peer.disconnect(f"{command} of filter type {filter_type}")
        elif stop is None or not self._chain.is_servable(stop):
            peer.disconnect(f"{command} up to a block that is not for it")
        else:
            return stop
        return None

    def _previous_header(self, first: int) -> bytes | None:
        parent = self._index.parent(first)
        if parent is None:
            return GENESIS_PREVIOUS
        headers = self._filters.wait_headers([self._index.hash(parent)])
        return headers[0] if headers else None

    def _lacks(self, peer: Peer, found: object) -> bool:
        if found is None:
            log.debug("peer=%d asks for filters that are not indexed yet", peer.id)
        return found is None
