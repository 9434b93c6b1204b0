"""How quick this machine is with blocks, found out before a large chain is begun.

The measure is a made-up block of today's usual kind, 2,000 transactions with two inputs and two outputs each, that is
taken apart and connected, coins and all, in memory. Up to ``assumevalid`` no more is done with a block but to write it
down and to look coins up on the disk, so what comes out is what the machine could do at best.
"""

import time
from dataclasses import replace
from hashlib import sha256
from struct import pack
from typing import Final

from ccnode.chain.block_rules import BlockContext
from ccnode.chain.coins import make_coin
from ccnode.chain.connect import Connected, connect_block
from ccnode.chain.merkle import merkle_root
from ccnode.chain.mining import commitment_script
from ccnode.chain.params import ChainParams
from ccnode.chain.preparation import prepare_block
from ccnode.chain.script_flags import ALL_SCRIPT_FLAGS
from ccnode.wire.parsing import parse_block

TRANSACTIONS: Final = 2000
SECONDS: Final = 0.5
"""How long to measure; a block takes 30 to 60 ms."""

_VALUE: Final = 100_000
_HEIGHT: Final = 800_000
_FINAL: Final = b"\xff" * 4
_SCRIPT: Final = b"\x00\x14" + bytes(20)
_OUTPUT: Final = pack("<q", _VALUE) + bytes([len(_SCRIPT)]) + _SCRIPT
_WITNESS: Final = b"\x02\x47" + bytes(71) + b"\x21" + bytes(33)


def measure_speed(params: ChainParams, seconds: float = SECONDS) -> float:
    """Bytes of blocks per second."""
    raw, coins = _make_block(params)
    context = BlockContext(
        params=params, height=_HEIGHT, time=0, median_time_past=0, csv=True, segwit=True, bip34=False
    )
    began, turns = time.perf_counter(), 0
    while (taken := time.perf_counter() - began) < seconds or not turns:
        prepared = prepare_block(raw, params, context=context, check_pow=False)
        assert prepared.verdict is prepared.contextual_verdict is None, prepared
        connected = connect_block(prepared.block, context, coins, ALL_SCRIPT_FLAGS)
        assert isinstance(connected, Connected), connected
        turns += 1
    return turns * len(raw) / taken


def _make_block(params: ChainParams) -> tuple[bytes, dict[bytes, bytes]]:
    """A block as it could be mined, but for its proof of work, and the coins that it spends."""
    transactions: list[bytes] = []
    coins: dict[bytes, bytes] = {}
    for n in range(TRANSACTIONS):
        outpoints = [sha256(pack("<II", n, i)).digest() + pack("<I", i) for i in range(2)]
        coins.update((outpoint, make_coin(_VALUE, _SCRIPT, _HEIGHT - 1000, False)) for outpoint in outpoints)
        inputs = b"".join(outpoint + b"\x00" + _FINAL for outpoint in outpoints)
        transactions.append(pack("<I", 2) + b"\x00\x01\x02" + inputs + b"\x02" + _OUTPUT * 2 + _WITNESS * 2 + bytes(4))
    wtxids = [sha256(sha256(raw).digest()).digest() for raw in transactions]
    commitment = commitment_script([bytes(32), *wtxids])
    coinbase = b"".join(
        (
            pack("<I", 2) + b"\x00\x01\x01" + bytes(32) + _FINAL + b"\x04" + bytes(4) + _FINAL,
            b"\x02" + _OUTPUT + bytes(8) + bytes([len(commitment)]) + commitment,
            b"\x01\x20" + bytes(32) + bytes(4),
        )
    )
    body = b"\xfd" + pack("<H", 1 + TRANSACTIONS) + coinbase + b"".join(transactions)
    form = params.header_format
    header = form.parse(params.genesis)
    root = merkle_root(parse_block(params.genesis + body, form.size).txids)[0]
    return form.serialize(replace(header, merkle_root=root)) + body, coins
