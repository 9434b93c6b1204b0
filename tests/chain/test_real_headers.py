"""Real headers of the real networks, by their rules."""

import pytest

from ccnode.chain.networks import MAINNET, REGTEST, SIGNET
from tests.chain.support_chain import new_chain, read_headers


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("mainnet_000000_032259", MAINNET),
        ("mainnet_alt_headers_0_2016", MAINNET),
        ("regtest_000_100", REGTEST),
        ("signet_0000_2015", SIGNET),
    ],
)
def test_headers_from_genesis_are_valid(data_dir, name, params):
    headers = read_headers(data_dir / f"headers/{name}.bin.xz")
    chain, store, _ = new_chain(params)
    for i in range(0, len(headers), 2000):
        result = chain.accept(headers[i : i + 2000])
        assert result.verdict is None
    assert store.headers == headers
    assert chain.index.height(chain.index.tip) == len(headers) - 1
