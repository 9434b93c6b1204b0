"""Timers on three clocks, the supervisor, deadlines and fairness."""

import time

import gevent
import pytest

from ccnode.network import hub
from ccnode.network.hub import DeadlineExceeded, HubLag, Supervisor, breathe, breathing, deadline, spawn
from ccnode.network.timers import STALE_TOLERATED, Timeline, Timers
from tests.support.clock import ManualClock
from tests.support.network import eventually, no_switch

WALL, SCHEDULER, STEADY = Timeline.WALL, Timeline.SCHEDULER, Timeline.STEADY


class Diary:
    """Timers whose actions write down what ran."""

    def __init__(self) -> None:
        self.clock = ManualClock(1000.0)
        self.clock.monotonic = 0.0
        self.timers = Timers(self.clock)
        self.ran: list[str] = []

    def arm(self, timeline: Timeline, due: float, key: str) -> None:
        self.timers.arm(timeline, due, key, lambda: self.ran.append(key))

    def run(self) -> list[str]:
        self.timers.run_due()
        ran, self.ran = self.ran, []
        return ran


# -- timers ------------------------------------------------------------------------------------------------------------


def test_each_timeline_follows_its_clock() -> None:
    diary = Diary()
    diary.arm(WALL, 1010, "wall")
    diary.arm(SCHEDULER, 10, "scheduler")
    diary.arm(STEADY, 10, "steady")
    assert diary.run() == []
    diary.clock.set_wall(1010)
    assert diary.run() == ["wall"]
    diary.clock.skip(10)
    assert diary.run() == ["scheduler"]
    diary.clock.advance_steady(10)
    assert diary.run() == ["steady"]
    assert len(diary.timers) == 0


def test_due_entries_run_in_order_once() -> None:
    diary = Diary()
    for due in (3, 1, 2):
        diary.arm(STEADY, due, f"at {due}")
    diary.clock.advance(5)
    assert diary.run() == ["at 1", "at 2", "at 3"]
    assert diary.run() == []


def test_arming_again_moves_only_to_an_earlier_time() -> None:
    diary = Diary()
    diary.arm(STEADY, 10, "a")
    diary.arm(STEADY, 20, "a")
    diary.arm(STEADY, 5, "a")
    diary.arm(STEADY, float("inf"), "never")
    assert len(diary.timers) == 1
    diary.clock.advance(5)
    assert diary.run() == ["a"]
    diary.clock.advance(100)
    assert diary.run() == []


def test_a_disarmed_key_is_gone_from_every_timeline() -> None:
    diary = Diary()
    for timeline in Timeline:
        diary.arm(timeline, 0, "a")
    diary.timers.disarm("a")
    assert diary.run() == []
    assert len(diary.timers) == 0


def test_what_an_action_arms_waits_for_the_next_look_and_holds_up_nobody() -> None:
    diary = Diary()

    def again() -> None:
        diary.ran.append("again")
        diary.timers.arm(STEADY, float("-inf"), "again", again)

    again()
    diary.arm(STEADY, 1, "patient")
    diary.clock.advance(5)
    diary.ran.clear()
    assert diary.run() == ["again", "patient"]
    assert diary.run() == ["again"]


def test_an_action_that_fails_takes_no_other_with_it() -> None:
    diary = Diary()
    diary.timers.arm(STEADY, 1, "bad", lambda: 1 // 0)
    diary.arm(STEADY, 2, "good")
    diary.clock.advance(5)
    with pytest.raises(ZeroDivisionError):
        diary.timers.run_due()
    assert diary.run() == ["good"]


def test_after_the_clock_was_set_every_wall_entry_runs_once_in_order() -> None:
    for moved_to in (500.0, 1500.0, 5000.0):
        diary = Diary()
        for due in (3000, 1100, 2000):
            diary.arm(WALL, due, f"at {due}")
        diary.arm(STEADY, 50, "steady")
        diary.clock.set_wall(moved_to)
        diary.timers.clock_was_set()
        assert diary.run() == ["at 1100", "at 2000", "at 3000"]
        assert diary.run() == []
        diary.arm(WALL, moved_to + 10, "from now")
        diary.clock.set_wall(moved_to + 10)
        assert diary.run() == ["from now"]


def test_the_loop_wakes_for_what_is_armed_earlier_and_for_a_set_clock() -> None:
    diary = Diary()
    loop = spawn("timers", diary.timers.run)
    gevent.sleep(0.01)
    diary.arm(STEADY, 0, "soon")
    eventually(lambda: diary.ran == ["soon"])
    diary.arm(WALL, 9e9, "far")
    gevent.sleep(0.01)
    assert diary.ran == ["soon"]
    diary.timers.clock_was_set()
    eventually(lambda: diary.ran == ["soon", "far"])
    loop.kill()


def test_what_is_armed_anew_for_earlier_again_and_again_takes_no_memory() -> None:
    diary = Diary()
    for round_ in range(2000):
        for key in range(3):
            diary.arm(WALL, 1e6 + round_, f"late {key}")
            diary.arm(WALL, round_ + 1, f"late {key}")
        diary.clock.set_wall(round_ + 1)
        assert diary.run() == ["late 0", "late 1", "late 2"]
    assert len(diary.timers) == 0
    assert len(diary.timers._heaps[WALL]) < 3 * STALE_TOLERATED


# -- supervisor, deadline, breathe, lag --------------------------------------------------------------------------------


def test_an_activity_that_fails_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Supervisor, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(Supervisor, "LONGEST_PAUSE", 0.004)
    starts: list[float] = []

    def activity() -> None:
        starts.append(time.monotonic())
        if len(starts) < 6:
            raise OSError("no")

    supervisor = Supervisor("test", activity)
    eventually(lambda: len(starts) == 6)
    gevent.sleep(0.02)
    assert len(starts) == 6, "it ended by itself"
    supervisor.stop()


def test_a_stopped_supervisor_is_not_in_the_way(monkeypatch: pytest.MonkeyPatch, greenlet_count) -> None:
    before = greenlet_count()
    waiting = Supervisor("waits", lambda: gevent.sleep(60))
    failing = Supervisor("fails", lambda: 1 // 0)
    gevent.sleep(0.01)
    start = time.monotonic()
    failing.stop()
    waiting.stop(timeout=0.0)
    assert time.monotonic() - start < 0.9
    assert greenlet_count() == before


def test_a_deadline_is_an_ordinary_exception() -> None:
    with pytest.raises(DeadlineExceeded), deadline(0.01):
        gevent.sleep(5)
    with deadline(0.01):
        pass
    gevent.sleep(0.02)


def test_breathing_lets_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "TURN_SECONDS", 0.002)
    stop = False
    gaps: list[float] = []

    def observer() -> None:
        while not stop:
            start = time.perf_counter()
            gevent.sleep(0.0005)
            gaps.append(time.perf_counter() - start)

    watch = spawn("observer", observer)
    gevent.sleep(0.01)
    end = time.perf_counter() + 0.3
    while time.perf_counter() < end:
        breathe()
    stop = True
    watch.join()
    assert len(gaps) > 20
    assert sorted(gaps)[len(gaps) // 2] < 0.05


def test_many_small_steps_are_worked_some_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    breaths = []
    monkeypatch.setattr(hub, "breathe", lambda: breaths.append(1))
    for _ in breathing(range(200)):
        end = time.thread_time() + 0.0001
        while time.thread_time() < end:
            pass
    assert 2 <= len(breaths) < 50


def test_without_breathing_nobody_does() -> None:
    with no_switch("a busy loop"):
        end = time.perf_counter() + 0.01
        while time.perf_counter() < end:
            pass
    with pytest.raises(AssertionError, match="waited"), no_switch("a sleeper"):
        gevent.sleep(0.001)


def test_the_lag_is_measured() -> None:
    lag = HubLag()
    gevent.sleep(0.05)
    time.sleep(0.06)
    gevent.sleep(0.03)
    assert lag.percentiles()["worst"] >= 0.03
    assert lag.percentiles()["p50"] <= lag.percentiles()["max"]
    lag.stop()
