"""What is said about room for blocks, and when the node refuses."""

import logging
import re
from dataclasses import replace
from pathlib import Path

import pytest

from ccnode import preflight
from ccnode.chain.networks import MAINNET, REGTEST, SIGNET
from ccnode.errors import StartupError
from ccnode.options import Config
from ccnode.preflight import GB, check_space, plan_space


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Its only item is what the disk has free."""
    free = [2000 * GB]
    usage = type("Usage", (), {"free": property(lambda _self: free[0])})
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _path: usage())
    return free


def test_what_is_there_already_need_not_come(disk: list[int], tmp_path: Path) -> None:
    config = Config(chain="mainnet")
    assert plan_space(config, MAINNET, tmp_path).needed == 870 * GB
    (tmp_path / "blocks").mkdir()
    (tmp_path / "blocks/blk00000.dat").write_bytes(bytes(1 << 20))
    assert plan_space(config, MAINNET, tmp_path).needed == 870 * GB - (1 << 20)


def test_enough_room(disk: list[int], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    check_space(Config(), MAINNET, tmp_path)
    assert "about 870 GB, 2,000 GB are free" in caplog.text
    assert re.search(r"connects \d+\.\d MB of blocks a second if nothing else is slower: \d+ (days|hours)", caplog.text)
    assert "prune: 550 keeps the newest blocks only, and takes about 15 GB" in caplog.text


def test_too_little_room_on_a_large_network_is_refused(disk: list[int], tmp_path: Path) -> None:
    disk[0] = 100 * GB
    with pytest.raises(
        StartupError, match=r"about 870 GB are needed and 100 GB are free .* prune: 550 or sync: headers"
    ):
        check_space(Config(), MAINNET, tmp_path)
    check_space(Config(prune=550), MAINNET, tmp_path)
    disk[0] = 10 * GB
    with pytest.raises(StartupError, match=r"another datadir, say sync: headers\.$"):
        check_space(Config(prune=550), MAINNET, tmp_path)


def test_too_little_room_elsewhere_is_a_warning(
    disk: list[int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk[0] = 5 * GB
    check_space(Config(chain="signet"), SIGNET, tmp_path)
    assert "may not accommodate the block files" in caplog.text


@pytest.mark.parametrize("params", [REGTEST, replace(MAINNET, minimum_chain_work=0)])
def test_of_another_chain_nobody_knows_the_size(
    disk: list[int], tmp_path: Path, caplog: pytest.LogCaptureFixture, params: object
) -> None:
    disk[0] = GB
    check_space(Config(minimumchainwork=0), params, tmp_path)
    assert not caplog.records


def test_next_to_nothing_free(disk: list[int], tmp_path: Path) -> None:
    disk[0] = 49 << 20
    with pytest.raises(StartupError, match="Disk space is too low!"):
        check_space(Config(), REGTEST, tmp_path)
