"""A second header format: 100 bytes, and a proof of work that is not the hash.

The layout is CoinbaseChain's. Of its proof only the cheap half is checked here: Blake2b over the header, in which the
last 32 bytes stand apart, must not exceed the target.
"""

from dataclasses import replace
from hashlib import blake2b
from struct import Struct

from ccnode.chain.difficulty import BitcoinDifficulty
from ccnode.chain.formats import Header, HeaderFormat
from ccnode.chain.networks import REGTEST
from ccnode.chain.params import SoftForks
from ccnode.chain.pow import meets_target

_NEVER = 1 << 32


class CommitmentFormat(HeaderFormat):
    name = "commitment"
    size = 100
    time_offset = 56
    bits_offset = 60

    _layout = Struct("<i32s20sIII32s")

    def parse(self, raw):
        if len(raw) != self.size:
            raise ValueError(f"a header has {self.size} bytes, not {len(raw)}")
        version, prev, miner, time, bits, nonce, result = self._layout.unpack(raw)
        return Header(version, prev, b"", time, bits, nonce, miner + result)

    def serialize(self, header):
        miner, result = header.extra[:20], header.extra[20:]
        return self._layout.pack(header.version, header.prev, miner, header.time, header.bits, header.nonce, result)

    def check_pow(self, headers, hashes, bits, pow_limit):
        for i, raw in enumerate(headers):
            commitment = blake2b(raw[:68] + bytes(32) + raw[68:], digest_size=32).digest()
            if not meets_target(commitment, bits[i], pow_limit):
                return i
        return None


COMMITMENT_FORMAT = CommitmentFormat()
_LIMIT = (1 << 255) - 1


def commitment_params():
    """CoinbaseChain's regtest, as far as headers go."""
    genesis = COMMITMENT_FORMAT.serialize(Header(1, bytes(32), b"", 1296688602, 0x207FFFFF, 2, bytes(52)))
    return replace(
        REGTEST,
        name="commitment",
        header_format=COMMITMENT_FORMAT,
        headers_carry_tx_count=False,
        genesis=genesis,
        difficulty=BitcoinDifficulty(_LIMIT, target_spacing=120, no_retargeting=True),
        pow_limit=_LIMIT,
        soft_forks=SoftForks(_NEVER, _NEVER, _NEVER, _NEVER, _NEVER),
    )
