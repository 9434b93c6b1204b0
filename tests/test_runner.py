"""How many connections fit the limit of open files."""

import resource
from collections.abc import Callable

import pytest

from ccnode import runner
from ccnode.errors import StartupError
from ccnode.options import Config
from ccnode.runner import RESERVED_FILES, fit_connections

INFINITE = resource.RLIM_INFINITY


class System:
    """Limits as the operating system keeps them."""

    RLIMIT_NOFILE, RLIM_INFINITY = resource.RLIMIT_NOFILE, INFINITE

    def __init__(self, soft: int, hard: int, refuses: bool) -> None:
        self.soft, self.hard, self.refuses = soft, hard, refuses

    def getrlimit(self, _which: int) -> tuple[int, int]:
        return self.soft, self.hard

    def setrlimit(self, _which: int, limits: tuple[int, int]) -> None:
        if self.refuses or (self.hard != INFINITE and limits[0] > self.hard):
            raise ValueError("not allowed to raise maximum limit")
        self.soft = limits[0]


@pytest.mark.parametrize(
    ("soft", "hard", "refuses", "fitting"),
    [
        (1024, 4096, False, 125),
        (INFINITE, INFINITE, False, 125),
        (64, INFINITE, False, 125),
        (64, 4096, False, 125),
        (64, RESERVED_FILES + 125, False, 125),
        (64, RESERVED_FILES + 124, False, 124),
        (RESERVED_FILES + 10, INFINITE, True, 10),
        (64, RESERVED_FILES + 1, False, 1),
    ],
)
def test_connections_fit_the_limit(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, refuses: bool, fitting: int
) -> None:
    system = System(soft, hard, refuses)
    monkeypatch.setattr(runner, "resource", system)
    assert fit_connections(Config(maxconnections=125)).maxconnections == fitting
    assert refuses or system.soft == INFINITE or system.soft >= fitting + RESERVED_FILES


def test_without_room_for_one_connection_there_is_no_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "resource", System(64, RESERVED_FILES, False))
    with pytest.raises(StartupError, match="Not enough file descriptors available"):
        fit_connections(Config(maxconnections=125))


def test_a_stop_that_takes_too_long_still_waits_for_the_coins(monkeypatch: pytest.MonkeyPatch) -> None:
    later: list[Callable[[], object]] = []
    ended: list[str] = []
    monkeypatch.setattr(runner.gevent, "spawn_later", lambda _seconds, call, *args: later.append(lambda: call(*args)))
    monkeypatch.setattr(runner, "force_end", ended.append)
    writing = True
    runner.end_if_stuck(lambda: writing)
    later.pop()()
    assert not ended
    writing = False
    later.pop()()
    assert len(ended) == 1
    assert not later
