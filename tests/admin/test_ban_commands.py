"""setban, listbanned, clearbanned: what they do and Core's errors."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ccnode.errors import RpcError
from ccnode.peers.permissions import Permission
from tests.admin.admin_support import TestNode

DAY = 86_400


@pytest.fixture
def node(tmp_path: Path) -> TestNode:
    return TestNode(tmp_path)


@pytest.fixture
def now(node: TestNode) -> int:
    return int(node.clock.now())


def refusal(call: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(RpcError) as caught:
        call()
    return caught.value.code, str(caught.value)


def test_a_ban_and_how_it_is_listed(node: TestNode, now: int) -> None:
    assert node.call("setban", "10.1.2.3/255.255.0.0", "add", 1000) is None
    node.clock.set_mock_time(now + 100)
    assert node.call("listbanned") == [
        {
            "address": "10.1.0.0/16",
            "ban_created": now,
            "banned_until": now + 1000,
            "ban_duration": 1000,
            "time_remaining": 900,
            "ban_reason": "manually added",
        }
    ]


def test_who_is_answered_finds_the_ban_again_after_a_kill(node: TestNode) -> None:
    for call in (("setban", "1.2.3.4", "add"), ("setban", "1.2.3.4", "remove"), ("clearbanned",)):
        node.done.clear()
        node.call(*call)
        assert node.done == ["stored"], call


def test_durations(node: TestNode, now: int) -> None:
    node.call("setban", "8.8.8.1", "add")
    node.call("setban", "8.8.8.3", "add", now + 10, True)
    found = {ban["address"]: ban["ban_duration"] for ban in node.call("listbanned")}
    assert found == {"8.8.8.1/32": DAY, "8.8.8.3/32": 10}


def test_a_reason_is_kept_and_the_ban_stays_one_by_hand(node: TestNode) -> None:
    node.call("setban", "8.8.8.1", "add", 100, False, "spam: 3 times")
    assert [ban["ban_reason"] for ban in node.call("listbanned")] == ["manually added: spam: 3 times"]
    assert all(ban.manual for ban in node.context.bans.bans())
    node.call("setban", "8.8.8.2", "add", 100, False, "x" * 200)
    expected = (-8, "Error: reason is longer than 200 characters")
    assert refusal(lambda: node.call("setban", "8.8.8.3", "add", 100, False, "x" * 201)) == expected


def test_an_end_in_the_past(node: TestNode, now: int) -> None:
    expected = (-8, "Error: Absolute timestamp is in the past")
    assert refusal(lambda: node.call("setban", "8.8.8.8", "add", now - 1, True)) == expected
    assert node.call("listbanned") == []


@pytest.mark.parametrize("subnet", ["127.0.0.1/42", "nonsense", "", "8.8.8.8:8333", "1.2.3.4/255.0.255.0"])
@pytest.mark.parametrize("command", ["add", "remove"])
def test_what_is_no_subnet(node: TestNode, subnet: str, command: str) -> None:
    assert refusal(lambda: node.call("setban", subnet, command)) == (-30, "Error: Invalid IP/Subnet")


def test_banned_already(node: TestNode) -> None:
    expected = (-23, "Error: IP/Subnet already banned")
    node.call("setban", "127.0.0.0/24", "add")
    assert refusal(lambda: node.call("setban", "127.0.0.1", "add")) == expected
    assert refusal(lambda: node.call("setban", "127.0.0.1/24", "add")) == expected
    node.call("setban", "127.0.0.1/25", "add")  # a range of its own
    assert len(node.call("listbanned")) == 2


def test_lifting(node: TestNode) -> None:
    failed = (-30, "Error: Unban failed. Requested address/subnet was not previously manually banned.")
    node.call("setban", "127.0.0.0/24", "add")
    assert refusal(lambda: node.call("setban", "127.0.0.1", "remove")) == failed
    node.call("setban", "127.0.0.0/24", "remove")
    assert refusal(lambda: node.call("setban", "127.0.0.0/24", "remove")) == failed
    assert node.call("listbanned") == []


def test_clearing(node: TestNode) -> None:
    for subnet in ("8.8.8.8", "9.0.0.0/8", "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"):
        node.call("setban", subnet, "add")
    assert len(node.call("listbanned")) == 3
    node.call("clearbanned")
    assert node.call("listbanned") == []


def test_what_has_ended_is_not_listed(node: TestNode, now: int) -> None:
    node.call("setban", "8.8.8.8", "add", 5)
    node.clock.set_mock_time(now + 5)
    assert node.call("listbanned") == []
    node.call("setban", "8.8.8.8", "add", 5)


def test_another_command_shows_the_help(node: TestNode) -> None:
    code, text = refusal(lambda: node.call("setban", "8.8.8.8", "forget"))
    assert code == -1
    assert text.startswith("setban")


def test_getpeerinfo_shows_permissions_and_misbehaviour(node: TestNode) -> None:
    peer = node.connect("8.8.8.8:8333")
    peer.permissions = Permission.NO_BAN
    peer.misbehaviour_score = 40
    peer.violations = {"oversize-list": 2}
    [info] = node.call("getpeerinfo")
    assert info["permissions"] == ["noban", "download"]
    assert info["misbehavior"] == {"score": 40, "violations": {"oversize-list": 2}}
