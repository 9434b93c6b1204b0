"""From the configuration to the network's parameters."""

from dataclasses import replace
from typing import Any

from ccnode.chain.custom import custom_params
from ccnode.chain.networks import get_params, signet_params
from ccnode.chain.params import ChainParams
from ccnode.errors import ConfigError
from ccnode.options import Config


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
    if config.checkpoints:
        changes["checkpoints"] = dict(config.checkpoints)
    return replace(params, **changes) if changes else params
