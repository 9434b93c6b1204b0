"""Commands for those who watch: what is remembered of messages, scores and branches, log levels, snapshots."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from admin_support import TestNode

from ccnode import log
from ccnode.admin.commands import observation
from ccnode.errors import RpcError
from ccnode.peers.messages import RECENT
from ccnode.wire.headers import Headers
from tests.support.process import NodeProcess
from tests.support.scripted import Link


@pytest.fixture
def node(tmp_path: Path) -> TestNode:
    return TestNode(tmp_path)


def refused(node: TestNode, method: str, *params: object) -> tuple[int, str]:
    with pytest.raises(RpcError) as error:
        node.call(method, *params)
    return error.value.code, str(error.value)


def test_status(node: TestNode) -> None:
    node.mine(3)
    node.connect("8.1.1.1:8333")
    assert node.call("status") == {
        "chain": "regtest",
        "phase": "synchronized",
        "percent": 100.0,
        "height": 3,
        "tip_time": node.chain.index.time(node.chain.index.tip),
        "connections_in": 0,
        "connections_out": 1,
        "received_per_second": 0.0,
        "sent_per_second": 0.0,
        "network_active": True,
    }


def test_the_last_messages_of_a_peer(node: TestNode) -> None:
    peer = node.connect("8.1.1.1:8333")
    assert node.call("getpeermessages", peer.id) == []
    for number in range(RECENT + 10):
        peer.recent_messages.append((float(number), number % 2 == 1, "ping", 24 + number))
    found: Any = node.call("getpeermessages", peer.id, RECENT)
    assert [each["time"] for each in found] == [float(number) for number in range(10, RECENT + 10)]
    assert found[-1] == {"time": RECENT + 9.0, "direction": "out", "command": "ping", "bytes": RECENT + 33}
    assert found[-20:] == node.call("getpeermessages", peer.id)
    assert refused(node, "getpeermessages", peer.id, RECENT + 1) == (-8, "count must be from 1 to 50")
    assert refused(node, "getpeermessages", peer.id, 0)[0] == -8
    assert refused(node, "getpeermessages", 99) == (-29, "Node not found in connected nodes")


def test_scores_of_peers_here_and_gone(node: TestNode) -> None:
    clean, bad, gone = (node.connect(f"8.1.1.{n}:8333") for n in (1, 2, 3))
    for peer in (bad, gone):
        peer.misbehaviour_score, peer.violations = 20, {"oversize-list": 1}
    gone.disconnect("misbehaving: oversize-list")
    for peer in (clean, gone):
        node.context.offenders.note(peer)
        node.net.disconnect_by_id(peer.id)
    entry = {"score": 20, "violations": {"oversize-list": 1}}
    assert node.call("getscores") == {
        "peers": [{"id": bad.id, "addr": "8.1.1.2:8333", **entry}],
        "gone": [
            {
                "id": gone.id,
                "addr": "8.1.1.3:8333",
                **entry,
                "time": node.clock.now(),
                "reason": "misbehaving: oversize-list",
            }
        ],
    }


def test_branches_beside_the_active_chain(node: TestNode) -> None:
    main = node.mine(5)
    short = node.mine(2, bytes.fromhex(main[1])[::-1], salt=1)
    found: Any = node.call("getorphanbranches")
    assert found["waiting"] == []
    (branch,) = found["branches"]
    assert branch["hash"] == short[-1]
    assert (branch["height"], branch["fork_height"], branch["length"]) == (4, 2, 2)
    assert branch["fork_hash"] == main[1]
    assert int(branch["work"], 16) == 2 * int(branch["work_missing"], 16) == 4
    assert branch["status"] == "headers-only"
    node.call("invalidateblock", main[4])
    states = {each["hash"]: (each["status"], each["length"]) for each in branches(node)}
    assert states == {short[-1]: ("headers-only", 2), main[4]: ("invalid", 1)}


def test_a_branch_may_grow_from_a_branch(node: TestNode) -> None:
    main = node.mine(9)
    first = node.mine(4, parent=bytes.fromhex(main[2])[::-1], salt=1)
    second = node.mine(1, parent=bytes.fromhex(first[1])[::-1], salt=2)
    third = node.mine(2, parent=bytes.fromhex(main[2])[::-1], salt=3)
    grown = {each["hash"]: (each["grew_from"], each["grew_at"], each["length"]) for each in branches(node)}
    assert grown == {first[3]: (main[8], 3, 4), second[0]: (first[3], 5, 3), third[1]: (main[8], 3, 2)}


def branches(node: TestNode) -> list[dict[str, Any]]:
    found: Any = node.call("getorphanbranches")
    return list(found["branches"])


def test_headers_without_a_parent_are_listed_while_they_wait(node: TestNode) -> None:
    other = TestNode(node.context.header_file.parent)
    hashes = other.mine(4, salt=3)
    peer = node.connect("8.1.1.1:8333")
    node.sync.handlers[Headers](peer, Headers.build(other.store.headers[3:]))
    found: Any = node.call("getorphanbranches")
    (waiting,) = found["waiting"]
    assert (waiting["peer"], waiting["parent"], waiting["first"]) == (peer.id, hashes[1], hashes[2])
    assert waiting["headers"] == 2
    assert 0 < waiting["seconds_left"] <= 60


@pytest.fixture
def levels() -> Iterator[None]:
    yield
    log.shutdown_logging()


@pytest.mark.usefixtures("levels")
def test_log_levels(node: TestNode) -> None:
    node.call("loglevel", "info")
    assert node.call("loglevel", "net", "debug") == dict.fromkeys(log.CATEGORIES, "info") | {"net": "debug"}
    assert node.call("loglevel", "net") == {"net": "debug"}
    assert node.call("loglevel")["net"] == "debug"  # type: ignore[index]
    assert set(node.call("loglevel", "warning").values()) == {"warning"}  # type: ignore[attr-defined]
    assert refused(node, "loglevel", "nett") == (-8, "unknown log category 'nett'")
    assert refused(node, "loglevel", "net", "loud") == (-8, "unknown log level 'loud'")


def test_a_snapshot_has_everything_but_passwords(tmp_path: Path) -> None:
    options = ["--rpcuser=me", "--rpcpassword=abracadabra", "--rpcauth=u:aa$bb"]
    with NodeProcess(tmp_path / "node", *options) as process:
        link = Link.connect(process.port)
        link.handshake()
        assert not (process.folder / "snapshots").exists()
        answer = process.rpc("snapshot")
        path = Path(answer["filename"])
        text = path.read_text()
        assert path.parent == process.folder / "snapshots"
        assert len(text) == answer["bytes"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        state = json.loads(text)
        assert state["getpeerinfo"][0]["subver"] == "/scripted:1.0/"
        assert state["config"]["rpcuser"] == "me"
        assert "abracadabra" not in text
        assert "aa$bb" not in text
        assert [each.name for each in path.parent.iterdir()] == [path.name]
        messages = process.rpc("getpeermessages", 0, 50)
        assert ("in", "version") in {(each["direction"], each["command"]) for each in messages}
        assert ("out", "verack") in {(each["direction"], each["command"]) for each in messages}
        link.close()


def test_two_snapshots_of_a_moment_do_not_mix(node: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    node.context.config.folder.mkdir(parents=True, exist_ok=True)
    node.clock.set_mock_time(1_760_000_000)

    def slowly(pieces: Iterator[str]) -> Iterator[str]:
        for piece in pieces:
            yield piece
            gevent.sleep(0)

    monkeypatch.setattr(observation, "breathing", slowly)
    tasks = [gevent.spawn(node.call, "snapshot") for _ in range(2)]
    paths = {Path(task.get(timeout=10)["filename"]) for task in tasks}
    assert [json.loads(path.read_text())["time"] for path in paths] == [1_760_000_000]
    assert list(node.context.config.folder.joinpath("snapshots").iterdir()) == list(paths)


def test_a_snapshot_that_cannot_be_written_is_an_error(node: TestNode) -> None:
    node.context.config.folder.mkdir(parents=True, exist_ok=True)
    (node.context.config.folder / "snapshots").write_text("in the way")
    code, text = refused(node, "snapshot")
    assert code == -1
    assert "cannot write" in text
