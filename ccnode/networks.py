"""From the configuration to the network's parameters."""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from ccnode.chain.custom import custom_params
from ccnode.chain.difficulty import BitcoinDifficulty
from ccnode.chain.networks import get_params, signet_params
from ccnode.chain.params import ChainParams, Deployment
from ccnode.errors import ConfigError
from ccnode.options import Config

DEPLOYMENTS: Final = {"segwit": "segwit", "bip34": "bip34", "dersig": "bip66", "cltv": "bip65", "csv": "csv"}
"""Core's names of soft forks, and ours of their heights (`SoftForks`)."""

FAST_PRUNE_AFTER: Final = 100
"""Height of regtest from which ``fastprune`` lets files be deleted, as Core's does."""

MAX_HEIGHT: Final = 2**31 - 2
"""Core's largest: its heights have 32 bits and a sign."""


def network_params(config: Config) -> ChainParams:
    """The parameters of the configured network, with what the configuration changes in them. ConfigError."""
    if config.network is not None:
        try:
            params = custom_params({"name": config.chain, **config.network})
        except ConfigError as error:
            raise ConfigError(f"{config.origins['network']}: in 'network': {error}") from error
    elif config.signetchallenge is not None:
        params = signet_params(config.signetchallenge)
    else:
        params = get_params(config.chain)
    changes: dict[str, Any] = {}
    if config.minimumchainwork is not None:
        changes["minimum_chain_work"] = config.minimumchainwork
    if config.assumevalid is not None:
        changes["assumevalid"] = config.assumevalid or None
    if config.testactivationheight:
        changes["soft_forks"] = replace(params.soft_forks, **activation_heights(config.testactivationheight))
    if "bip94" in config.test and isinstance(params.difficulty, BitcoinDifficulty):
        changes["difficulty"] = replace(params.difficulty, enforce_bip94=True)
    if config.vbparams:
        changes["deployments"] = deployments(params.deployments, config.vbparams)
    if config.fastprune and params.name == "regtest":
        changes["prune_after_height"] = FAST_PRUNE_AFTER
    if config.checkpoints:
        changes["checkpoints"] = dict(config.checkpoints)
    return replace(params, **changes) if changes else params


def activation_heights(given: Iterable[str]) -> dict[str, int]:
    """Heights of soft forks from NAME@HEIGHT; a later one counts. ConfigError, in Core's words."""
    heights = {}
    for text in given:
        name, _, number = text.partition("@")
        if not re.fullmatch("[0-9]{1,10}", number) or int(number) > MAX_HEIGHT:
            raise ConfigError(f"Invalid height value ({text}) for -testactivationheight=name@height.")
        if name not in DEPLOYMENTS:
            raise ConfigError(f"Invalid name ({text}) for -testactivationheight=name@height.")
        heights[DEPLOYMENTS[name]] = int(number)
    return heights


def deployments(known: Iterable[Deployment], given: Iterable[str]) -> tuple[Deployment, ...]:
    """The known deployments with other times, from NAME:START:END[:HEIGHT]. ConfigError, in Core's words."""
    changed = {deployment.name: deployment for deployment in known}
    for text in given:
        name, *numbers = text.split(":")
        values = []
        for what, number in zip(("nStartTime", "nTimeout", "min_activation_height"), numbers, strict=False):
            if not re.fullmatch("-?[0-9]{1,19}", number):
                raise ConfigError(f"Invalid {what} ({number})")
            values.append(int(number))
        if name not in changed:
            raise ConfigError(f"Invalid deployment ({name})")
        changed[name] = replace(
            changed[name], start_time=values[0], timeout=values[1], min_activation_height=(*values, 0)[2]
        )
    return tuple(changed.values())
