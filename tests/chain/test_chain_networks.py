"""The built-in networks, and those that a configuration describes."""

from dataclasses import FrozenInstanceError

import pytest

from ccnode.chain.custom import custom_params
from ccnode.chain.networks import MAINNET, NETWORKS, REGTEST, SIGNET, TESTNET3, TESTNET4, get_params, signet_params
from ccnode.chain.params import ANY_VERSION, SoftForks, signet_magic
from ccnode.chain.pow import encode_compact, meets_target
from ccnode.errors import ConfigError
from ccnode.peers.netgroup import NetGroupManager
from ccnode.wire.address import ADDRESS_SIZES, Network, NetworkAddress

GENESIS = {
    "mainnet": "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
    "testnet3": "000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943",
    "testnet4": "00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043",
    "signet": "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6",
    "regtest": "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
}


@pytest.mark.parametrize("params", NETWORKS, ids=lambda p: p.name)
def test_genesis(params):
    assert params.genesis_hash[::-1].hex() == GENESIS[params.name]
    bits = params.header_format.parse(params.genesis).bits
    assert meets_target(params.genesis_hash, bits, params.pow_limit)
    assert bits == encode_compact(params.pow_limit)
    assert params.difficulty.pow_limit == params.pow_limit
    assert params.difficulty.target_spacing == params.spacing


def test_networks_differ_where_they_must():
    for field in ("name", "core_name", "magic", "default_port", "rpc_port", "data_subdir", "genesis_hash"):
        assert len({getattr(p, field) for p in NETWORKS}) == len(NETWORKS), field


def test_names():
    for params in NETWORKS:
        for name in (params.name, params.core_name, *params.aliases):
            assert get_params(name) is params
    assert [get_params(n) for n in ("main", "test", "testnet")] == [MAINNET, TESTNET3, TESTNET3]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mainet", "unknown chain 'mainet'; did you mean mainnet?"),
        ("x", "unknown chain 'x'; known are mainnet, testnet3, testnet4, signet, regtest"),
    ],
)
def test_unknown_name(name, message):
    with pytest.raises(ConfigError) as error:
        get_params(name)
    assert str(error.value) == message


def test_constants_that_core_names():
    assert MAINNET.minimum_chain_work == 0x1128750F82F4C366153A3A030
    assert encode_compact(SIGNET.pow_limit) == 0x1E0377AE
    assert SIGNET.magic.hex() == "0a03cf40"
    assert TESTNET4.difficulty.enforce_bip94
    assert REGTEST.mockable
    assert not any(p.mockable for p in NETWORKS if p is not REGTEST)
    assert all(seed.endswith(".") for p in NETWORKS for seed in p.dns_seeds)


@pytest.mark.parametrize("params", NETWORKS, ids=lambda params: params.name)
def test_fixed_seeds_are_few_and_diverse(params):
    addresses = [NetworkAddress.parse(text, params.default_port, cjdns=True) for text in params.fixed_seeds]
    assert all(address.is_routable() for address in addresses)
    assert len(addresses) <= 120
    if params is not REGTEST:
        assert {address.network for address in addresses} == set(ADDRESS_SIZES)
    groups = NetGroupManager()
    grouped = [groups.group(a) for a in addresses if a.network in (Network.IPV4, Network.IPV6)]
    assert len(set(grouped)) == len(grouped)


def test_params_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        MAINNET.spacing = 1


def test_required_versions():
    forks = MAINNET.soft_forks
    heights = (0, 227_930, 227_931, 363_724, 363_725, 388_380, 388_381)
    assert [forks.required_version(h) for h in heights] == [ANY_VERSION, ANY_VERSION, 2, 2, 3, 3, 4]


def test_custom_signet():
    params = signet_params(b"\x51")
    assert params.magic == signet_magic(b"\x51") != SIGNET.magic
    assert (params.dns_seeds, params.minimum_chain_work, params.assumevalid) == ((), 0, None)
    assert params.fixed_seeds == ()
    assert params.genesis_hash == SIGNET.genesis_hash
    assert params.signet_challenge == b"\x51"
    assert signet_params(SIGNET.signet_challenge) is SIGNET
    with pytest.raises(ConfigError, match="signetchallenge: a signet challenge has fewer than 253 bytes, not 253"):
        signet_params(bytes(253))


def test_custom_network_takes_over_the_rest():
    params = custom_params({"name": "acmechain"})
    assert (params.name, params.core_name, params.data_subdir) == ("acmechain",) * 3
    assert params.genesis == REGTEST.genesis
    assert params.difficulty == REGTEST.difficulty
    assert params.dns_seeds == ()
    own = custom_params({"name": "own", "base": "main"})
    assert own.soft_forks == MAINNET.soft_forks
    assert (own.minimum_chain_work, own.assumevalid, own.dns_seeds, own.tx_history) == (0, None, (), None)


def test_every_key_of_a_custom_network():
    some_hash = "00" * 31 + "01"
    params = custom_params(
        {
            "base": "testnet4",
            "name": "acme-1",
            "magic": "ac0e0001",
            "port": 28444,
            "rpcport": 28443,
            "pow_limit": "00ff" + "f" * 60,
            "spacing": 60,
            "timespan": 3600,
            "min_difficulty_blocks": False,
            "no_retargeting": True,
            "bip94": False,
            "bip34_height": 2,
            "bip65_height": 3,
            "bip66_height": 4,
            "csv_height": 5,
            "segwit_height": 6,
            "minimumchainwork": "ff",
            "assumevalid": some_hash,
            "checkpoints": {10: some_hash},
            "halving_interval": 7,
            "prune_after_height": 8,
            "mockable": True,
            "dns_seeds": ["a.example."],
            "fixed_seeds": ["10.0.0.1:28444"],
            "presync_period": 9,
            "presync_buffer": 10,
            "pubkey_prefix": "01",
            "script_prefix": "02",
            "secret_prefix": "03",
            "ext_public_prefix": "04040404",
            "ext_secret_prefix": "05050505",
            "bech32_hrp": "ac",
            "genesis": {"version": 2, "merkle_root": some_hash, "time": 11, "bits": 0x1F00FFFF, "nonce": 12},
        }
    )
    one = b"\x01" + bytes(31)
    assert (params.magic, params.default_port, params.rpc_port) == (bytes.fromhex("ac0e0001"), 28444, 28443)
    rule = params.difficulty
    assert (rule.pow_limit, rule.target_spacing, rule.target_timespan) == (params.pow_limit, 60, 3600)
    assert (rule.allow_min_difficulty_blocks, rule.no_retargeting, rule.enforce_bip94) == (False, True, False)
    assert params.spacing == 60
    assert params.soft_forks == SoftForks(bip34=2, bip65=3, bip66=4, csv=5, segwit=6)
    assert (params.minimum_chain_work, params.assumevalid, params.checkpoints) == (255, one, {10: one})
    assert (params.subsidy_halving_interval, params.prune_after_height, params.mockable) == (7, 8, True)
    assert (params.dns_seeds, params.fixed_seeds) == (("a.example.",), ("10.0.0.1:28444",))
    assert (params.presync_period, params.presync_buffer) == (9, 10)
    prefixes = params.prefixes
    assert (prefixes.pubkey, prefixes.script, prefixes.secret, prefixes.bech32_hrp) == (b"\1", b"\2", b"\3", "ac")
    assert (prefixes.ext_public, prefixes.ext_secret) == (b"\4" * 4, b"\5" * 4)
    genesis = params.header_format.parse(params.genesis)
    assert (genesis.version, genesis.merkle_root, genesis.time) == (2, one, 11)
    assert (genesis.bits, genesis.nonce) == (0x1F00FFFF, 12)


def test_custom_signet_by_mapping():
    params = custom_params({"name": "mysignet", "base": "signet", "signetchallenge": "51"})
    assert params.magic == signet_magic(b"\x51")


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, "network.name is missing"),
        ({"name": "main"}, "network.name: main is a built-in network"),
        (
            {"name": "../up"},
            "network.name: expected up to 32 of a-z, 0-9, - and _, starting with a letter or digit, not '../up'",
        ),
        ({"name": "x", "spaceing": 1}, "network.spaceing: unknown key; the nearest known one is spacing"),
        ({"name": "x", 7: 1}, "network.7: unknown key; the nearest known one is"),
        ({"name": "x", "base": "mainet"}, "unknown chain 'mainet'; did you mean mainnet?"),
        ({"name": "x", "port": 0}, "network.port: expected a whole number from 1 to 65535, not 0"),
        ({"name": "x", "port": True}, "network.port: expected a whole number from 1 to 65535, not True"),
        ({"name": "x", "magic": 1}, "network.magic: expected 8 hex digits in quotes, not 1"),
        ({"name": "x", "magic": "0102"}, "network.magic: expected 8 hex digits in quotes, not '0102'"),
        ({"name": "x", "mockable": 1}, "network.mockable: expected true or false, not 1"),
        ({"name": "x", "dns_seeds": "a"}, "network.dns_seeds: expected a list of names, not 'a'"),
        ({"name": "x", "fixed_seeds": ["a.example"]}, "network.fixed_seeds: expected a list of numeric addresses"),
        ({"name": "x", "pow_limit": "xyz"}, "network.pow_limit: expected up to 64 hex digits in quotes"),
        ({"name": "x", "checkpoints": [1]}, "network.checkpoints: expected a mapping from height to block hash"),
        ({"name": "x", "genesis": 1}, "network.genesis: expected a mapping"),
        ({"name": "x", "genesis": {"tme": 1}}, "network.genesis.tme: unknown key; the nearest known one is time"),
        ({"name": "x", "genesis": {"bits": 0}}, "network.genesis.bits: not a target within network.pow_limit"),
        ({"name": "x", "spacing": 7}, "network.timespan: expected a multiple of network.spacing"),
        ({"name": "x", "signetchallenge": "0x"}, "network.signetchallenge: expected hex digits, not '0x'"),
        (
            {"name": "x", "signetchallenge": "51" * 253},
            "network.signetchallenge: a signet challenge has fewer than 253 bytes, not 253",
        ),
    ],
)
def test_what_is_wrong_with_a_custom_network(mapping, message):
    with pytest.raises(ConfigError) as error:
        custom_params(mapping)
    assert str(error.value).startswith(message)
