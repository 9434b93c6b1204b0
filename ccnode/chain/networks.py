"""The built-in networks, and how to find one by name. (Core: ``kernel/chainparams.cpp``.)

Hashes are written the way people read them, most significant byte first, and reversed on the way in.
"""

from dataclasses import replace
from difflib import get_close_matches

from ccnode.chain import seeds
from ccnode.chain.difficulty import BitcoinDifficulty
from ccnode.chain.formats import BITCOIN_FORMAT, Header
from ccnode.chain.params import (
    AddressPrefixes,
    ChainParams,
    Deployment,
    SoftForks,
    TxHistory,
    UnknownSignals,
    signet_magic,
)
from ccnode.errors import ConfigError

_LIMIT_32_BITS = (1 << 224) - 1  # mainnet and the two old test networks: difficulty 1
_LIMIT_SIGNET = 0x0377AE << 216
_LIMIT_REGTEST = (1 << 255) - 1

_MERKLE_ROOT_2009 = "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"
_MERKLE_ROOT_TESTNET4 = "7aa0a7ae1e223414cb807e40cd57e667b718e42aaf9306db9102fe28912b7b4e"

_TEST_PREFIXES = AddressPrefixes(
    pubkey=b"\x6f",
    script=b"\xc4",
    secret=b"\xef",
    ext_public=bytes.fromhex("043587cf"),
    ext_secret=bytes.fromhex("04358394"),
    bech32_hrp="tb",
)


def from_display(text: str) -> bytes:
    """A hash from the hex that people read (reversed) to internal byte order."""
    return bytes.fromhex(text)[::-1]


def _genesis(time: int, nonce: int, bits: int, merkle_root: str = _MERKLE_ROOT_2009) -> bytes:
    return BITCOIN_FORMAT.serialize(Header(1, bytes(32), from_display(merkle_root), time, bits, nonce))


MAINNET = ChainParams(
    name="mainnet",
    core_name="main",
    magic=bytes.fromhex("f9beb4d9"),
    default_port=8333,
    rpc_port=8332,
    data_subdir="",
    genesis=_genesis(1231006505, 2083236893, 0x1D00FFFF),
    difficulty=BitcoinDifficulty(_LIMIT_32_BITS),
    pow_limit=_LIMIT_32_BITS,
    soft_forks=SoftForks(bip34=227_931, bip65=388_381, bip66=363_725, csv=419_328, segwit=481_824),
    unknown_signals=UnknownSignals(from_height=711_648),
    bip34_hash=from_display("000000000000024b89b42a942fe0d9fea3bb44ab7bd1b19115dd6a759c0808b8"),
    minimum_chain_work=0x1128750F82F4C366153A3A030,
    assumevalid=from_display("00000000000000000000ccebd6d74d9194d8dcdc1d177c478e094bfad51ba5ac"),
    dns_seeds=(
        "seed.bitcoin.sipa.be.",
        "dnsseed.bluematt.me.",
        "seed.bitcoin.jonasschnelli.ch.",
        "seed.btc.petertodd.net.",
        "seed.bitcoin.sprovoost.nl.",
        "dnsseed.emzy.de.",
        "seed.bitcoin.wiz.biz.",
        "seed.mainnet.achownodes.xyz.",
    ),
    fixed_seeds=seeds.MAINNET,
    prefixes=AddressPrefixes(
        pubkey=b"\x00",
        script=b"\x05",
        secret=b"\x80",
        ext_public=bytes.fromhex("0488b21e"),
        ext_secret=bytes.fromhex("0488ade4"),
        bech32_hrp="bc",
    ),
    presync_period=641,
    presync_buffer=15_218,
    tx_history=TxHistory(1_704_194_835, 946_728_933, 6.569290261471664),
    prune_after_height=100_000,
    assumed_blocks_gb=856,
    assumed_coins_gb=14,
    headers_only=True,
)

TESTNET3 = ChainParams(
    name="testnet3",
    core_name="test",
    aliases=("testnet",),
    magic=bytes.fromhex("0b110907"),
    default_port=18333,
    rpc_port=18332,
    data_subdir="testnet3",
    genesis=_genesis(1296688602, 414098458, 0x1D00FFFF),
    difficulty=BitcoinDifficulty(_LIMIT_32_BITS, allow_min_difficulty_blocks=True),
    pow_limit=_LIMIT_32_BITS,
    soft_forks=SoftForks(bip34=21_111, bip65=581_885, bip66=330_776, csv=770_112, segwit=834_624),
    unknown_signals=UnknownSignals(from_height=2_013_984, threshold=1512),
    bip34_hash=from_display("0000000023b3a96d3484e5abb3755c413e7d41500f8e2a5c3f0dd01299cd8ef8"),
    minimum_chain_work=0x17DDE1C649F3708D14B6,
    assumevalid=from_display("000000007a61e4230b28ac5cb6b5e5a0130de37ac1faf2f8987d2fa6505b67f4"),
    dns_seeds=(
        "testnet-seed.bitcoin.jonasschnelli.ch.",
        "seed.tbtc.petertodd.net.",
        "seed.testnet.bitcoin.sprovoost.nl.",
        "testnet-seed.bluematt.me.",
        "seed.testnet.achownodes.xyz.",
    ),
    fixed_seeds=seeds.TESTNET3,
    prefixes=_TEST_PREFIXES,
    presync_period=673,
    presync_buffer=14_460,
    tx_history=TxHistory(1_703_579_240, 67_845_391, 1.464436832560951),
    assumed_blocks_gb=245,
    assumed_coins_gb=19,
    headers_only=True,
)

TESTNET4 = ChainParams(
    name="testnet4",
    core_name="testnet4",
    magic=bytes.fromhex("1c163f28"),
    default_port=48333,
    rpc_port=48332,
    data_subdir="testnet4",
    genesis=_genesis(1714777860, 393743547, 0x1D00FFFF, _MERKLE_ROOT_TESTNET4),
    difficulty=BitcoinDifficulty(_LIMIT_32_BITS, allow_min_difficulty_blocks=True, enforce_bip94=True),
    pow_limit=_LIMIT_32_BITS,
    unknown_signals=UnknownSignals(threshold=1512),
    minimum_chain_work=0x9A0FE15D0177D086304,
    assumevalid=from_display("0000000002368b1e4ee27e2e85676ae6f9f9e69579b29093e9a82c170bf7cf8a"),
    dns_seeds=("seed.testnet4.bitcoin.sprovoost.nl.", "seed.testnet4.wiz.biz."),
    fixed_seeds=seeds.TESTNET4,
    prefixes=_TEST_PREFIXES,
    presync_period=606,
    presync_buffer=16_092,
    assumed_blocks_gb=31,
    assumed_coins_gb=2,
)

_DEFAULT_SIGNET_CHALLENGE = bytes.fromhex(
    "512103ad5e0edad18cb1f0fc0d28a3d4f1f3e445640337489abb10404f2d1e086be430"
    "210359ef5021964fe22d6f8e05b2463c9540ce96883fe3b278760f048f5189f2e6c452ae"
)

SIGNET = ChainParams(
    name="signet",
    core_name="signet",
    magic=signet_magic(_DEFAULT_SIGNET_CHALLENGE),
    default_port=38333,
    rpc_port=38332,
    data_subdir="signet",
    genesis=_genesis(1598918400, 52613770, 0x1E0377AE),
    difficulty=BitcoinDifficulty(_LIMIT_SIGNET),
    pow_limit=_LIMIT_SIGNET,
    unknown_signals=UnknownSignals(threshold=1512),
    minimum_chain_work=0xB463EA0A4B8,
    assumevalid=from_display("00000008414aab61092ef93f1aacc54cf9e9f16af29ddad493b908a01ff5c329"),
    signet_challenge=_DEFAULT_SIGNET_CHALLENGE,
    dns_seeds=("seed.signet.bitcoin.sprovoost.nl.", "seed.signet.achownodes.xyz."),
    fixed_seeds=seeds.SIGNET,
    prefixes=_TEST_PREFIXES,
    presync_period=620,
    presync_buffer=15_724,
    tx_history=TxHistory(1_706_331_472, 2_425_380, 0.008277759863833788),
    assumed_blocks_gb=24,
    assumed_coins_gb=4,
)

REGTEST = ChainParams(
    name="regtest",
    core_name="regtest",
    magic=bytes.fromhex("fabfb5da"),
    default_port=18444,
    rpc_port=18443,
    data_subdir="regtest",
    genesis=_genesis(1296688602, 2, 0x207FFFFF),
    difficulty=BitcoinDifficulty(
        _LIMIT_REGTEST,
        target_timespan=24 * 60 * 60,
        allow_min_difficulty_blocks=True,
        no_retargeting=True,
    ),
    pow_limit=_LIMIT_REGTEST,
    soft_forks=SoftForks(segwit=0),
    deployments=(Deployment("testdummy", bit=28, period=144, threshold=108),),
    unknown_signals=UnknownSignals(period=144, threshold=108),
    subsidy_halving_interval=150,
    prefixes=replace(_TEST_PREFIXES, bech32_hrp="bcrt"),
    presync_period=275,
    presync_buffer=7_017,
    mockable=True,
)

NETWORKS = (MAINNET, TESTNET3, TESTNET4, SIGNET, REGTEST)


def get_params(name: str) -> ChainParams:
    """The built-in network that is called ``name`` by us or by Core. ConfigError for any other name."""
    by_name = {alias: params for params in NETWORKS for alias in (params.name, params.core_name, *params.aliases)}
    if name not in by_name:
        near = get_close_matches(name, by_name, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(p.name for p in NETWORKS)}"
        raise ConfigError(f"unknown chain {name!r}; {hint}")
    return by_name[name]


def signet_params(challenge: bytes) -> ChainParams:
    """The signet of a challenge script: its own magic, no seeds, no history taken for granted. ConfigError if too long.

    With the default network's challenge the result is `SIGNET`.
    """
    if challenge == SIGNET.signet_challenge:
        return SIGNET
    try:
        magic = signet_magic(challenge)
    except ValueError as error:
        raise ConfigError(f"signetchallenge: {error}") from error
    return replace(
        SIGNET,
        magic=magic,
        signet_challenge=challenge,
        dns_seeds=(),
        fixed_seeds=(),
        minimum_chain_work=0,
        assumevalid=None,
        tx_history=None,
        assumed_blocks_gb=0,
        assumed_coins_gb=0,
    )
