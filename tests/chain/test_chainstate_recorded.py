"""Bitcoin Core's ``feature_block.py``, as recorded: every tip and every reject reason."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ccnode.chain.networks import REGTEST
from tests.support.chainstate import ChainRoom
from tests.support.clock import ManualClock
from tests.support.data import read_xz

pytest.importorskip("pbk", reason="py-bitcoinkernel is not installed: pip install ccnode[blocks]")

from ccnode.kernel.scripts import ScriptChecker

SCRIPT_FAILURE = "block-script-verify-flag-failed"
PARAMS = replace(REGTEST, soft_forks=replace(REGTEST.soft_forks, bip34=2))
"""The recording has BIP34 from height 2 (``-testactivationheight=bip34@2``)."""


def expected_reason(recorded: str | None) -> str | None:
    """The reason alone: the recording sometimes has the detail, and of a script only why it failed."""
    if recorded is None:
        return None
    if recorded.startswith(SCRIPT_FAILURE) or recorded == "disabled opcode":
        return SCRIPT_FAILURE
    return recorded.partition(",")[0]


def steps(data_dir: Path) -> list[dict[str, Any]]:
    text = read_xz(data_dir / "chains/core_feature_block_steps_000_082.jsonl.xz").decode()
    return [json.loads(line) for line in text.splitlines()]


def refusals(room: ChainRoom, blocks: list[str]) -> set[str]:
    """Reject reasons of these blocks, and of ancestors that had to be connected for them."""
    found = set()
    for raw in blocks:
        submitted = room.submit(bytes.fromhex(raw))
        found |= {verdict.reason for _block_hash, verdict in room.checked if verdict is not None}
        if submitted.verdict is not None:
            found.add(submitted.verdict.reason)
    return found


def test_the_recorded_suite(data_dir: Path, tmp_path: Path) -> None:
    clock = ManualClock()
    room = ChainRoom(tmp_path, PARAMS, scripts=ScriptChecker(1), clock=clock)
    reasons = set()
    for step in steps(data_dir):
        clock.set_wall(step["clock"])
        name = f"step {step['step']}: {step['note']}"
        assert room.tip[::-1].hex() == step["tip_before"], name
        found = refusals(room, step["blocks"])
        if step["reject_reason"] is not None:
            assert expected_reason(step["reject_reason"]) in found, name
            reasons.add(expected_reason(step["reject_reason"]))
        elif step["success"]:
            assert not found, name
        assert room.tip[::-1].hex() == step["tip_after"], name
        assert room.height == step["height_after"], name
        if step.get("then_invalidate"):
            room.state.wait_invalidate(room.entry(bytes.fromhex(step["then_invalidate"])[::-1]))
    assert len(reasons) == 23
