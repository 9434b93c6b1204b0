"""Which script rules hold in which block."""

import pytest

from ccnode.chain.networks import MAINNET, REGTEST, SIGNET, TESTNET3, TESTNET4, from_display
from ccnode.chain.params import ChainParams
from ccnode.chain.script_flags import ALL_SCRIPT_FLAGS, EXCEPTIONS, ScriptFlag, block_script_flags

ORDINARY = bytes(32)
GENESIS = ScriptFlag.P2SH | ScriptFlag.WITNESS | ScriptFlag.TAPROOT
CLTV, CSV = ScriptFlag.CHECKLOCKTIMEVERIFY, ScriptFlag.CHECKSEQUENCEVERIFY


@pytest.mark.parametrize(
    ("params", "height", "added"),
    [
        (MAINNET, 0, ScriptFlag.NONE),
        (MAINNET, 363_724, ScriptFlag.NONE),
        (MAINNET, 363_725, ScriptFlag.DERSIG),
        (MAINNET, 388_380, ScriptFlag.DERSIG),
        (MAINNET, 388_381, ScriptFlag.DERSIG | CLTV),
        (MAINNET, 419_328, ScriptFlag.DERSIG | CLTV | CSV),
        (MAINNET, 481_823, ScriptFlag.DERSIG | CLTV | CSV),
        (MAINNET, 481_824, ScriptFlag.DERSIG | CLTV | CSV | ScriptFlag.NULLDUMMY),
        (TESTNET3, 330_776, ScriptFlag.DERSIG),
        (TESTNET3, 581_885, ScriptFlag.DERSIG | CLTV),
        (TESTNET3, 770_112, ScriptFlag.DERSIG | CLTV | CSV),
        (TESTNET3, 834_624, ScriptFlag.DERSIG | CLTV | CSV | ScriptFlag.NULLDUMMY),
        (REGTEST, 0, ScriptFlag.NULLDUMMY),
    ],
)
def test_rules_come_with_height(params: ChainParams, height: int, added: ScriptFlag) -> None:
    assert block_script_flags(params, height, ORDINARY) == GENESIS | added


@pytest.mark.parametrize("params", [TESTNET4, SIGNET, REGTEST])
def test_new_networks_have_all_rules_from_the_first_block(params: ChainParams) -> None:
    assert block_script_flags(params, 1, ORDINARY) == ALL_SCRIPT_FLAGS


def test_three_blocks_are_exempt_from_the_rules_since_genesis() -> None:
    early = from_display("00000000000002dc756eebf4f49723ed8d30cc28a5f108eb94b1ba88ac4f9c22")
    late = from_display("0000000000000000000f14c35b2d841e986ab5441de8c585d5ffe55ea1e395ad")
    test = from_display("00000000dd30457c001f4095d208cc1296b0eed002427aa599874af7a432b105")
    assert set(EXCEPTIONS) == {early, late, test}
    assert block_script_flags(MAINNET, 170_060, early) == ScriptFlag.NONE
    assert block_script_flags(TESTNET3, 500_000, test) == ScriptFlag.DERSIG
    assert block_script_flags(MAINNET, 692_261, late) == ALL_SCRIPT_FLAGS & ~ScriptFlag.TAPROOT
