"""Before blocks are downloaded: what the chain will take, and whether there is room for it.

A chain of hundreds of gigabytes is nothing to begin by mistake. So the node says beforehand what it needs and what is
free, and how to do with less. Where blocks were asked for on a network too large for that to be the default, it does
not start on a disk that is too small; elsewhere it warns.

The sizes are those that the network's parameters state for a chain with the work they state. Whoever lowers
``minimumchainwork`` expects another chain, of which nobody knows the size.
"""

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from ccnode.chain.params import ChainParams
from ccnode.engine.speed import measure_speed
from ccnode.errors import ExitStatus, StartupError
from ccnode.options import MIN_PRUNE_MIB, Config

log = logging.getLogger("ccnode")

GB = 10**9
MB = 10**6
MIB = 1 << 20

LARGE = GB
"""Bytes of blocks to come that make it worth half a second to find out how long they will take."""

LEAST_FREE = 50 * MIB
"""Bytes below which a node that keeps blocks does not start (Core: ``CheckDiskSpace``)."""


@dataclass(frozen=True, slots=True)
class SpacePlan:
    """Bytes. ``needed`` is what is to come, in addition to what the folder holds."""

    needed: int
    needed_pruned: int
    """The same with the least `prune`."""
    blocks_to_come: int
    """Of the whole chain, whether they are kept or not."""
    free: int
    pruned: bool

    @property
    def suffices(self) -> bool:
        return self.needed <= self.free


def folder_size(folder: Path) -> int:
    """Bytes on the disk below ``folder``, 0 if there is none. Sparse files count with what they take."""
    try:
        return sum(entry.stat().st_blocks * 512 for entry in os.scandir(folder) if entry.is_file())
    except FileNotFoundError:
        return 0


def plan_space(config: Config, params: ChainParams, folder: Path) -> SpacePlan:
    """What the chain's blocks and coins will take below ``folder``, and what is free there."""
    used_blocks, used_coins = folder_size(folder / "blocks"), folder_size(folder / "chainstate")
    known = config.minimumchainwork is None
    blocks, coins = (params.assumed_blocks_gb * GB, params.assumed_coins_gb * GB) if known else (0, 0)
    coins = max(0, coins - used_coins)
    kept = min(blocks, config.prune * MIB) if config.prune > 1 else blocks
    return SpacePlan(
        needed=max(0, kept - used_blocks) + coins,
        needed_pruned=max(0, min(blocks, MIN_PRUNE_MIB * MIB) - used_blocks) + coins,
        blocks_to_come=max(0, blocks - used_blocks) if not config.prune else blocks,
        free=shutil.disk_usage(folder).free,
        pruned=config.prune > 1,
    )


def check_space(config: Config, params: ChainParams, folder: Path) -> None:
    """Say what is needed and what is free. StartupError if that is too little."""
    plan = plan_space(config, params, folder)
    if plan.free < LEAST_FREE:
        raise StartupError(
            f"Disk space is too low! {folder} has {_text(plan.free)} free, at least {_text(LEAST_FREE)} are needed",
            ExitStatus.DATADIR,
        )
    if not plan.needed:
        return
    log.info("blocks and coins will take about %s, %s are free in %s", _text(plan.needed), _text(plan.free), folder)
    if plan.blocks_to_come > LARGE:
        speed = measure_speed(params)
        hours = plan.blocks_to_come / speed / 3600
        log.info(
            "  this machine connects %.1f MB of blocks a second if nothing else is slower: %s for all of them, or more",
            speed / MB,
            f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.0f} hours",
        )
    if not plan.pruned:
        log.info(
            "  prune: %d keeps the newest blocks only, and takes about %s", MIN_PRUNE_MIB, _text(plan.needed_pruned)
        )
    if plan.suffices:
        return
    ways = f"Free some, choose another datadir, say {'' if plan.pruned else f'prune: {MIN_PRUNE_MIB} or '}sync: headers"
    if params.headers_only:
        raise StartupError(
            f"not enough room for the blocks of {params.name}: about {_text(plan.needed)} are needed and "
            f"{_text(plan.free)} are free in {folder}. {ways}.",
            ExitStatus.DATADIR,
        )
    log.warning("Disk space for %s may not accommodate the block files. %s.", folder, ways)


def _text(count: int) -> str:
    return (
        f"{count / GB:,.0f} GB"
        if count >= 10 * GB
        else f"{count / GB:.1f} GB"
        if count >= GB
        else f"{count // MIB} MiB"
    )
