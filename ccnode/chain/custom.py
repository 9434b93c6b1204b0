"""A network described by a mapping, as it comes out of a configuration file.

::

    network:
      base: regtest            # a built-in network; everything that is not said below is as there
      name: acmechain
      magic: "ac0e0001"
      port: 28444
      min_difficulty_blocks: false
      genesis: {time: 1760000000, nonce: 3}

Keys are in one table with the part of `ChainParams` that they change and the function that reads their value. A key
that is not in the table, or a value that its function refuses, is a ConfigError that names the key. The mapping
describes rules, not their sense: nothing here finds out whether a network with these parameters can live.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from ccnode.chain.difficulty import BitcoinDifficulty
from ccnode.chain.networks import NETWORKS, get_params
from ccnode.chain.params import ChainParams, signet_magic
from ccnode.chain.pow import target_of
from ccnode.errors import ConfigError
from ccnode.wire.address import NetworkAddress

DEFAULT_BASE = "regtest"

_Reader = Callable[[Any], Any]


def _whole(low: int, high: int) -> _Reader:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return value

    return read


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("expected true or false")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", value):
        raise ValueError("expected up to 32 of a-z, 0-9, - and _, starting with a letter or digit")
    return value


def _hex(size: int | None = None) -> _Reader:
    wanted = "expected hex digits" if size is None else f"expected {2 * size} hex digits in quotes"

    def read(value: Any) -> bytes:
        try:
            raw = bytes.fromhex(value)
        except (TypeError, ValueError) as error:
            raise ValueError(wanted) from error
        if size is not None and len(raw) != size:
            raise ValueError(wanted)
        return raw

    return read


def _block_hash(value: Any) -> bytes:
    """A hash as people write it."""
    return bytes(_hex(32)(value))[::-1]


def _wide(value: Any) -> int:
    """A number of up to 256 bits: as a YAML integer (0x...) or as hex digits in quotes."""
    if isinstance(value, str) and re.fullmatch(r"[0-9a-fA-F]{1,64}", value):
        return int(value, 16)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 256:
        return value
    raise ValueError("expected up to 64 hex digits in quotes, or 0x and digits")


def _strings(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("expected a list of names")
    return tuple(value)


def _addresses(value: Any) -> tuple[str, ...]:
    texts = _strings(value)
    try:
        for text in texts:
            NetworkAddress.parse(text, cjdns=True)
    except ValueError as error:
        raise ValueError("expected a list of numeric addresses, HOST[:PORT]") from error
    return texts


def _checkpoints(value: Any) -> dict[int, bytes]:
    if not isinstance(value, Mapping):
        raise ValueError("expected a mapping from height to block hash")
    height = _whole(0, 0xFFFFFFFF)
    return {height(key): _block_hash(item) for key, item in value.items()}


@dataclass(frozen=True, slots=True)
class _Key:
    """Where a key's value goes: a field of ChainParams itself, or of one of its parts."""

    read: _Reader
    field: str
    part: str = ""


_COUNT = _whole(1, 0xFFFFFFFF)
_HEIGHT = _whole(0, 0xFFFFFFFF)
_UINT32 = _whole(0, 0xFFFFFFFF)
_PORT = _whole(1, 0xFFFF)

_KEYS = {
    "name": _Key(_name, "name"),
    "magic": _Key(_hex(4), "magic"),
    "port": _Key(_PORT, "default_port"),
    "rpcport": _Key(_PORT, "rpc_port"),
    "signetchallenge": _Key(_hex(), "signet_challenge"),
    "pow_limit": _Key(_wide, "pow_limit"),
    "spacing": _Key(_COUNT, "target_spacing", "difficulty"),
    "timespan": _Key(_COUNT, "target_timespan", "difficulty"),
    "min_difficulty_blocks": _Key(_flag, "allow_min_difficulty_blocks", "difficulty"),
    "no_retargeting": _Key(_flag, "no_retargeting", "difficulty"),
    "bip94": _Key(_flag, "enforce_bip94", "difficulty"),
    "bip34_height": _Key(_HEIGHT, "bip34", "soft_forks"),
    "bip65_height": _Key(_HEIGHT, "bip65", "soft_forks"),
    "bip66_height": _Key(_HEIGHT, "bip66", "soft_forks"),
    "csv_height": _Key(_HEIGHT, "csv", "soft_forks"),
    "segwit_height": _Key(_HEIGHT, "segwit", "soft_forks"),
    "minimumchainwork": _Key(_wide, "minimum_chain_work"),
    "assumevalid": _Key(_block_hash, "assumevalid"),
    "checkpoints": _Key(_checkpoints, "checkpoints"),
    "halving_interval": _Key(_COUNT, "subsidy_halving_interval"),
    "prune_after_height": _Key(_HEIGHT, "prune_after_height"),
    "mockable": _Key(_flag, "mockable"),
    "dns_seeds": _Key(_strings, "dns_seeds"),
    "fixed_seeds": _Key(_addresses, "fixed_seeds"),
    "presync_period": _Key(_COUNT, "presync_period"),
    "presync_buffer": _Key(_COUNT, "presync_buffer"),
    "pubkey_prefix": _Key(_hex(1), "pubkey", "prefixes"),
    "script_prefix": _Key(_hex(1), "script", "prefixes"),
    "secret_prefix": _Key(_hex(1), "secret", "prefixes"),
    "ext_public_prefix": _Key(_hex(4), "ext_public", "prefixes"),
    "ext_secret_prefix": _Key(_hex(4), "ext_secret", "prefixes"),
    "bech32_hrp": _Key(_name, "bech32_hrp", "prefixes"),
}

_GENESIS_KEYS = {
    "version": _Key(_whole(-(1 << 31), (1 << 31) - 1), "version"),
    "merkle_root": _Key(_block_hash, "merkle_root"),
    "time": _Key(_UINT32, "time"),
    "bits": _Key(_UINT32, "bits"),
    "nonce": _Key(_UINT32, "nonce"),
}


def custom_params(mapping: Mapping[str, Any]) -> ChainParams:
    """The network that ``mapping`` describes. ConfigError names the first key that is unknown or has a wrong value.

    Seeds, minimum chain work, assumevalid, checkpoints and sizes are never taken over from the base, being its history.
    """
    settings = dict(mapping)
    base = get_params(str(settings.pop("base", DEFAULT_BASE)))
    genesis = _genesis(base, settings.pop("genesis", {}))
    values = _read(_KEYS, settings, "network")
    own = values.pop("")
    if "name" not in own:
        raise ConfigError("network.name is missing")
    if any(own["name"] in (p.name, p.core_name, *p.aliases) for p in NETWORKS):
        raise ConfigError(f"network.name: {own['name']} is a built-in network")
    if "signet_challenge" in own and "magic" not in own:
        own["magic"] = _challenge_magic(own["signet_challenge"])
    pow_limit = own.get("pow_limit", base.pow_limit)
    if target_of(base.header_format.parse(genesis).bits, pow_limit) is None:
        raise ConfigError("network.genesis.bits: not a target within network.pow_limit")
    if not isinstance(base.difficulty, BitcoinDifficulty):
        raise ConfigError(f"network.base: {base.name} cannot be changed by a configuration file")
    difficulty = replace(base.difficulty, pow_limit=pow_limit, **values.get("difficulty", {}))
    if difficulty.target_timespan % difficulty.target_spacing:
        raise ConfigError("network.timespan: expected a multiple of network.spacing")
    history: dict[str, Any] = {
        "minimum_chain_work": 0,
        "assumevalid": None,
        "checkpoints": {},
        "dns_seeds": (),
        "fixed_seeds": (),
        "bip34_hash": None,
        "tx_history": None,
        "assumed_blocks_gb": 0,
        "assumed_coins_gb": 0,
        "headers_only": False,
    }
    return replace(
        base,
        core_name=own["name"],
        aliases=(),
        data_subdir=own["name"],
        genesis=genesis,
        difficulty=difficulty,
        spacing=difficulty.target_spacing,
        soft_forks=replace(base.soft_forks, **values.get("soft_forks", {})),
        prefixes=replace(base.prefixes, **values.get("prefixes", {})),
        **(history | own),
    )


def _genesis(base: ChainParams, settings: Any) -> bytes:
    if not isinstance(settings, Mapping):
        raise ConfigError("network.genesis: expected a mapping")
    changes = _read(_GENESIS_KEYS, settings, "network.genesis")[""]
    return base.header_format.serialize(replace(base.header_format.parse(base.genesis), **changes))


def _challenge_magic(challenge: bytes) -> bytes:
    try:
        return signet_magic(challenge)
    except ValueError as error:
        raise ConfigError(f"network.signetchallenge: {error}") from error


def _read(keys: Mapping[str, _Key], settings: Mapping[str, Any], where: str) -> dict[str, dict[str, Any]]:
    """The values of ``settings``, converted, by part and field."""
    values: dict[str, dict[str, Any]] = {"": {}}
    for name, value in settings.items():
        key = keys.get(name)
        if key is None:
            near = get_close_matches(str(name), keys, n=1, cutoff=0)
            raise ConfigError(f"{where}.{name}: unknown key; the nearest known one is {near[0]}")
        try:
            values.setdefault(key.part, {})[key.field] = key.read(value)
        except ValueError as error:
            raise ConfigError(f"{where}.{name}: {error}, not {value!r}") from error
    return values
