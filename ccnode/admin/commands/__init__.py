"""The node's commands. Importing this package fills the registry; each module holds one category of Core's or ours."""

from ccnode.admin.commands import (
    addresses,
    bans,
    block_stats,
    block_templates,
    blockchain,
    blocks,
    branches,
    connections,
    control,
    description,
    generate,
    headers,
    mining,
    network,
    observation,
    rawtransactions,
    utxo,
)
from ccnode.admin.registry import REGISTRY

__all__ = [
    "REGISTRY",
    "addresses",
    "bans",
    "block_stats",
    "block_templates",
    "blockchain",
    "blocks",
    "branches",
    "connections",
    "control",
    "description",
    "generate",
    "headers",
    "mining",
    "network",
    "observation",
    "rawtransactions",
    "utxo",
]
