"""The node's commands. Importing this package fills the registry; each module holds one category of Core's or ours."""

from ccnode.admin.commands import (
    addresses,
    bans,
    blockchain,
    branches,
    connections,
    control,
    description,
    headers,
    mining,
    network,
    observation,
)
from ccnode.admin.registry import REGISTRY

__all__ = [
    "REGISTRY",
    "addresses",
    "bans",
    "blockchain",
    "branches",
    "connections",
    "control",
    "description",
    "headers",
    "mining",
    "network",
    "observation",
]
