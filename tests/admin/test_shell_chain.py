"""The shell's words about the chain, on a real node with a chain that has branches."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ccnode.admin.shell.remote import Remote
from ccnode.admin.shell.session import Shell
from ccnode.admin.shell.views import UsageError
from ccnode.admin.shell.words.chain import Heights
from ccnode.chain.networks import REGTEST
from tests.support.fakes import HeaderLine
from tests.support.process import NodeProcess
from tests.support.scripted import HeaderPeer, wait_until

TIP = 60
SPACING = 600


class Scene:
    """A node with a main line and three branches off it, and peers that hold one each."""

    def __init__(self, node: NodeProcess, line: HeaderLine, branches: list[HeaderLine]) -> None:
        self.node = node
        self.line = line
        self.branches = branches
        self._shell = Shell(Remote(lambda: node.socket))

    def run(self, line: str, capsys: pytest.CaptureFixture[str]) -> str:
        """What a line prints that succeeds."""
        assert self._shell.run(line), capsys.readouterr().err
        return capsys.readouterr().out

    def fail(self, line: str, capsys: pytest.CaptureFixture[str]) -> str:
        """What a line complains of that fails."""
        assert not self._shell.run(line)
        return capsys.readouterr().err

    def exact(self, line: str, capsys: pytest.CaptureFixture[str]) -> Any:
        return json.loads(self.run(f"{line} --json", capsys))

    def hash(self, height: int, line: HeaderLine | None = None) -> str:
        return (line or self.line).hashes[height][::-1].hex()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    line = HeaderLine().grow(TIP, spacing=SPACING, start=int(time.time()) - (TIP + 1) * SPACING)
    long = line.fork(50).grow(4, salt=1)
    branches = [long, long.fork(52).grow(1, salt=2), line.fork(20).grow(1, salt=3), line.fork(58)]
    peers = [HeaderPeer(each.headers[1:], REGTEST.genesis_hash) for each in [*branches, line]]
    with NodeProcess(tmp_path_factory.mktemp("node"), "--listen=no", "--connect=0") as node:
        # The whole main line comes last: a node that has it would learn nothing of a peer that holds a part of it.
        for group, so_far in (peers[:-1], len(branches)), (peers[-1:], len(peers)):
            for peer in group:
                node.rpc("addnode", peer.target, "onetry")
            wait_until(lambda so_far=so_far: synced_peers(node) == so_far)
        wait_until(lambda: node.rpc("getblockcount") == TIP)
        wait_until(lambda: len(node.rpc("getchaintips")) == 4)
        yield Scene(node, line, branches)
    for peer in peers:
        peer.close()


def synced_peers(node: NodeProcess) -> int:
    return sum(each["synced_headers"] >= 0 for each in node.rpc("getheadersyncinfo")["peers"])


def columns(text: str, *names: str) -> list[tuple[str, ...]]:
    """The cells of a table below the headers with these names."""
    head, rule, *rows = text.splitlines()
    spans = []
    start = 0
    for dashes in rule.split():
        start = rule.index(dashes, start)
        spans.append((head[start : start + len(dashes)].strip(), start, start + len(dashes)))
        start += len(dashes)
    places = {name: (begin, end) for name, begin, end in spans}
    return [tuple(row[slice(*places[name])].strip() for name in names) for row in rows]


def test_chain(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    text = scene.run("chain", capsys)
    facts = {line[:13].strip(): line[13:].strip() for line in text.splitlines()}
    assert facts["chain"] == "regtest"
    assert facts["height"] == str(TIP)
    assert facts["tip"] == scene.hash(TIP)
    assert facts["difficulty"] == "4.66e-10, bits 207fffff"
    assert facts["hash rate"].endswith(" H/s over the last 120 blocks")
    assert facts["work"] == "2^6.93 hashes"
    assert facts["tip's time"].endswith("ago")
    assert scene.exact("chain", capsys)["blockchain"]["blocks"] == TIP


def test_plot(scene: Scene, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    text = scene.run("chain --plot --range 1..", capsys)
    assert text.startswith("difficulty\n")
    assert "minutes between blocks; over all 10.0" in text
    assert f"heights 1 to {TIP}, " in text
    points = scene.exact("chain --plot --range 1..10", capsys)
    assert [point["height"] for point in points] == list(range(2, 11))
    assert {point["interval"] for point in points} == {SPACING}
    assert scene.fail("chain --range 5", capsys) == "error: one block alone is no history to draw\n"
    monkeypatch.setattr(Shell, "width", 10)  # room for 20 points
    points = scene.exact("chain --plot --range 0..", capsys)
    assert [point["height"] for point in points] == [*range(4, TIP + 1, 4)]
    # The last header of a range is there, whatever the steps to it.
    assert [point["height"] for point in scene.exact("chain --plot --range 0..31", capsys)] == [*range(2, 31, 2), 31]
    monkeypatch.undo()
    # Without a range: from the first block after the genesis of a chain as short as this one.
    assert len(scene.exact("chain --plot", capsys)) == TIP - 1


def test_headers(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    shown = columns(scene.run("headers 10..13", capsys), "height", "interval", "bits", "hash")
    assert shown == [
        (str(height), "10m00s" if height > 10 else "", "207fffff", scene.hash(height)) for height in range(10, 14)
    ]
    assert [each["height"] for each in scene.exact("headers 10..13", capsys)] == [10, 11, 12, 13]
    assert len(scene.exact("headers", capsys)) == 20
    assert scene.exact("headers", capsys)[-1]["hash"] == scene.hash(TIP)
    sampled = columns(scene.run("headers 1.. --step 20", capsys), "height", "interval")
    assert sampled == [("1", ""), ("21", "10m00s"), ("41", "10m00s")]


def test_headers_complains(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert "'x' is no range; write heights: 100..120" in scene.fail("headers x", capsys)
    assert scene.fail("headers 5..61", capsys) == "error: the chain ends at height 60\n"
    assert scene.fail("headers 61..", capsys) == "error: the chain ends at height 60\n"
    assert "--step wants a number" in scene.fail("headers --step 0", capsys)


@pytest.mark.parametrize(
    ("text", "ends"),
    [("100..120", (100, 120)), ("100..", (100, 500)), ("..100", (0, 100)), ("7", (7, 7)), ("0..500", (0, 500))],
)
def test_ranges(text: str, ends: tuple[int, int]) -> None:
    assert Heights.parse(text, 500) == Heights(*ends)


@pytest.mark.parametrize("text", ["", "..", "-5", "1...5", "1..x", "1-5", "9..3"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(UsageError):
        Heights.parse(text, 500)


def test_block(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    text = scene.run("block 30", capsys)
    assert f"hash           {scene.hash(30)}\n" in text
    assert f"confirmations  {TIP - 29}\n" in text
    assert "10m00s after the one before" in text
    assert f"next           {scene.hash(31)}\n" in text
    assert scene.run("block 30 --hex", capsys).strip() == scene.line.headers[30].hex()
    assert scene.exact("block 0", capsys)["hash"] == scene.hash(0)
    assert "none, it is the first" in scene.run("block 0", capsys)
    beside = scene.run(f"block {scene.hash(54, scene.branches[0])}", capsys)
    assert "none, it is not on the active chain" in beside
    assert "Block height out of range" in scene.fail("block 61", capsys)
    assert "Block not found" in scene.fail(f"block {64 * 'a'}", capsys)


def test_tips(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    shown = columns(scene.run("tips", capsys), "height", "status", "headers", "left at", "hash")
    long, nested, short, _ = scene.branches
    assert shown == [
        ("60", "active", "", "", scene.hash(60)),
        ("54", "headers-only", "4", "50", scene.hash(54, long)),
        ("53", "headers-only", "3", "50", scene.hash(53, nested)),
        ("21", "headers-only", "1", "20", scene.hash(21, short)),
    ]
    assert scene.exact("tips", capsys)[1]["hash"] == scene.hash(54, long)


def test_tree_of_tips(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    lines = scene.run("tips --tree", capsys).splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "up to 60",
        "├─ at 50  up to 54",
        "│  └─ at 52  up to 53",
        "└─ at 20  up to 21",
    ]
    assert "4 headers, headers-only" in lines[1]
    assert "1 header, headers-only" in lines[2]
    assert lines[2].endswith(scene.hash(53, scene.branches[1]))


def test_standing(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    text = scene.run("standing --sort peer", capsys)
    assert columns(text, "standing", "headers", "left at", "height", "work") == [
        ("fork", "4", "50", "54", "-6.00"),
        ("fork", "3", "50", "53", "-7.00"),
        ("fork", "1", "20", "21", "-39.00"),
        ("behind", "2", "-", "58", "-2.00"),
        ("with us", "-", "-", "60", "0"),
    ]
    by_headers = scene.exact("standing --sort headers", capsys)
    assert [each["headers"] for each in by_headers] == [4, 3, 2, 1, None]
    assert "did you mean height" in scene.fail("standing --sort heigth", capsys)


def test_sync(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    text = scene.run("sync", capsys)
    assert [line.split()[0] for line in text.splitlines()[:2]] == ["phase", "progress"]
    assert "synchronized" in text.partition("\n")[0]
    assert "100.00 %" in text
    table = text.partition("\n\n")[2]
    assert [row[0] for row in columns(table, "height")] == ["54", "53", "21", "58", "60"]
    assert scene.exact("sync", capsys)["peers"][4]["subver"] == "/scripted:1.0/"


def test_reorgs(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    before = scene.exact("reorgs", capsys)
    scene.node.rpc("invalidateblock", scene.hash(51))
    scene.node.rpc("reconsiderblock", scene.hash(51))
    shown = columns(scene.run("reorgs 2", capsys), "fork at", "lost", "new", "old tip", "new tip")
    branch = scene.hash(54, scene.branches[0])
    assert shown == [
        ("50", "4", "10", branch, scene.hash(60)),
        ("50", "10", "4", scene.hash(60), branch),
    ]
    assert len(scene.exact("reorgs", capsys)) == min(20, len(before) + 2)
    assert "wants a number" in scene.fail("reorgs x", capsys)


def test_no_reorgs(tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]) -> None:
    with NodeProcess(tmp_path_factory.mktemp("quiet")) as node:
        quiet = Scene(node, HeaderLine(), [])
        assert quiet.run("reorgs", capsys) == "none since the start\n"
        assert quiet.run("standing", capsys) == "no peers\n"
        assert "no peers" in quiet.run("sync", capsys)
        assert quiet.fail("chain --plot", capsys) == "error: one block alone is no history to draw\n"
        assert quiet.run("tips --tree", capsys).startswith("up to 0, active, ")
