"""Where a peer's chain ends, by the headers it sends."""

from pathlib import Path

import pytest

from ccnode.chain.networks import REGTEST
from ccnode.config import load_config
from ccnode.crawler.audit import DEPTH, Tip, TipAudit
from ccnode.crawler.parts import load_audit
from ccnode.storage.datadir import DataDir
from ccnode.storage.header_file import HeaderFile, HeaderFileKind
from ccnode.wire.headers import Headers
from tests.support.fakes import HeaderLine

HEIGHT = 50


@pytest.fixture(scope="module")
def ours() -> HeaderLine:
    return HeaderLine().grow(HEIGHT)


def judged(ours: HeaderLine, theirs: HeaderLine, window: int = HEIGHT + 1) -> Tip | None:
    audit = TipAudit(REGTEST, ours.hashes[-window:], ours.height)
    return audit.judge(Headers.build(theirs.after(audit.request().locator)))


def test_a_peer_on_our_tip_has_our_height(ours: HeaderLine) -> None:
    assert judged(ours, ours) == Tip(HEIGHT, ours.tip, ours=True, behind=0)


def test_a_peer_that_is_ahead_is_counted_from_our_chain(ours: HeaderLine) -> None:
    theirs = ours.fork(HEIGHT).grow(3)
    assert judged(ours, theirs) == Tip(HEIGHT + 3, theirs.tip, ours=True, behind=-3)


@pytest.mark.parametrize("height", [HEIGHT - 2, 30, 3])
def test_a_peer_that_is_behind_has_its_height_or_none(ours: HeaderLine, height: int) -> None:
    found = judged(ours, ours.fork(height))
    assert found is None or found == Tip(height, ours.hashes[height], ours=True, behind=HEIGHT - height)


def test_a_peer_a_little_behind_is_found_exactly(ours: HeaderLine) -> None:
    found = judged(ours, ours.fork(HEIGHT - DEPTH + 1))
    assert found is not None
    assert found.behind == DEPTH - 1


def test_a_fork_at_the_tip_is_of_our_chain_and_a_deep_one_is_not(ours: HeaderLine) -> None:
    shallow, deep = ours.fork(HEIGHT - 1).grow(1, salt=1), ours.fork(20).grow(40, salt=1)
    assert judged(ours, shallow) == Tip(HEIGHT, shallow.tip, ours=True, behind=0)
    assert judged(ours, deep) == Tip(60, deep.tip, ours=False, behind=-10)


def test_a_branch_that_left_before_what_is_kept_is_not_ours(ours: HeaderLine) -> None:
    deep = ours.fork(20).grow(5, salt=1)
    found = judged(ours, deep, window=10)
    assert found is not None
    assert not found.ours


def test_on_an_empty_chain_silence_means_the_genesis() -> None:
    alone = HeaderLine()
    assert judged(alone, alone) == Tip(0, REGTEST.genesis_hash, ours=True, behind=0)


def test_an_empty_answer_tells_nothing_otherwise(ours: HeaderLine) -> None:
    assert TipAudit(REGTEST, ours.hashes, HEIGHT).judge(Headers.build([])) is None


def test_headers_that_prove_nothing_or_begin_nowhere_tell_nothing(ours: HeaderLine) -> None:
    audit = TipAudit(REGTEST, ours.hashes, HEIGHT)
    worthless = bytearray(ours.headers[-1])
    worthless[72:76] = (0x1D00FFFF).to_bytes(4, "little")
    assert audit.judge(Headers.build([bytes(worthless)])) is None
    stranger = HeaderLine().grow(2, salt=9).headers[2]
    assert audit.judge(Headers.build([stranger])) is None


def test_the_chain_to_compare_with_is_that_of_a_nodes_data_directory(ours: HeaderLine, tmp_path: Path) -> None:
    config = load_config([f"--datadir={tmp_path}", "--chain=regtest"])
    assert load_audit(config, REGTEST)[0] is None
    datadir = DataDir(config.folder)
    kind = HeaderFileKind(
        REGTEST.name, REGTEST.magic, REGTEST.header_format.name, REGTEST.genesis, REGTEST.genesis_hash
    )
    file = HeaderFile.open(datadir.headers, kind)
    file.append(ours.headers[1:])
    file.close()
    audit, note = load_audit(config, REGTEST)
    assert audit is None
    assert "running" in note
    datadir.close()
    audit, note = load_audit(config, REGTEST)
    assert audit is not None
    assert audit.height == HEIGHT
    assert f"height {HEIGHT}" in note
    assert audit.judge(Headers.build(ours.after(audit.request().locator))) == Tip(HEIGHT, ours.tip, ours=True, behind=0)
