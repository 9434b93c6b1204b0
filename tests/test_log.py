"""Logging: one line per record whatever a peer writes, a bounded file, and a terminal that is not torn."""

import io
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccnode import log as module
from ccnode.log import (
    CATEGORIES,
    TRACE,
    ConsoleHandler,
    FileHandler,
    category_levels,
    current_levels,
    find_categories,
    set_category,
    setup_logging,
    shutdown_logging,
)
from tests.support.data import ROOT

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
net = logging.getLogger("ccnode.net")


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    yield
    shutdown_logging()


@pytest.fixture
def console() -> io.StringIO:
    return io.StringIO()


def lines(console: io.StringIO) -> list[str]:
    """What was written, without the times."""
    found = console.getvalue().splitlines()
    assert all(re.match(STAMP + " ", line) for line in found)
    return [line.split(" ", 1)[1] for line in found]


def test_lines_look_like_cores(console: io.StringIO, tmp_path: Path) -> None:
    setup_logging(category_levels(debug=["net"], loglevel=["net:trace"]), console=console, file=tmp_path / "debug.log")
    record = logging.LogRecord("ccnode.net", logging.INFO, "x.py", 1, "hello %s", ("you",), None)
    record.created = 1795334400.25
    for handler in module.root.handlers:
        handler.handle(record)
    assert console.getvalue() == (tmp_path / "debug.log").read_text() == "2026-11-22T08:00:00Z [net] hello you\n"


def test_tag_names_category_and_unusual_levels(console: io.StringIO) -> None:
    setup_logging(category_levels(loglevel=["trace"]), console=console)
    net.debug("a")
    net.info("b")
    net.warning("c")
    net.error("d")
    net.log(TRACE, "e")
    net.critical("f")
    logging.getLogger("ccnode").info("g")
    logging.getLogger("ccnode").warning("h")
    assert lines(console) == [
        "[net] a",
        "[net] b",
        "[net:warning] c",
        "[net:error] d",
        "[net:trace] e",
        "[net:critical] f",
        "g",
        "[warning] h",
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\r", "a\\x0ab\\x0d"),
        ("\x1b[31m\x00\x7f\x9b", "\\x1b[31m\\x00\\x7f\\x9b"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("/Satoshi:é/", "/Satoshi:é/"),
        ("\ud800", "\\ud800"),
    ],
)
def test_text_of_a_peer_stays_one_line(tmp_path: Path, text: str, shown: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")
    setup_logging({}, console=stream, file=tmp_path / "debug.log")
    net.info("agent %s", text)
    for written in (stream.buffer.getvalue(), (tmp_path / "debug.log").read_bytes()):
        assert written.decode().split(" ", 1)[1] == f"[net] agent {shown}\n"


def test_terminal_that_cannot_show_a_character() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    setup_logging({}, console=stream)
    net.info("é")
    assert stream.buffer.getvalue().endswith(b"[net] \\xe9\n")


def test_traceback_has_the_prefix_on_each_line(console: io.StringIO) -> None:
    setup_logging({}, console=console)
    try:
        raise ValueError("bad\n2026-11-22T08:00:00Z forged")
    except ValueError:
        net.exception("failed")
    found = lines(console)
    assert found[:2] == ["[net:error] failed", "[net:error] | Traceback (most recent call last):"]
    assert found[-2:] == ["[net:error] | ValueError: bad", "[net:error] | 2026-11-22T08:00:00Z forged"]


@pytest.mark.parametrize(
    ("debug", "exclude", "level", "expected"),
    [
        ([], [], [], {}),
        (["net"], [], [], {"net": 10}),
        (["validation", "http", "mempool"], [], [], {"chain": 10, "rpc": 10}),
        (["1"], ["net", "libevent"], [], dict.fromkeys(set(CATEGORIES) - {"net"}, 10)),
        (["0"], [], [], {}),
        (["net"], [], ["net:trace"], {"net": TRACE}),
        ([], [], ["net:trace", "warning"], {**dict.fromkeys(CATEGORIES, 30), "net": TRACE}),
        (["all"], ["all"], ["trace"], {}),
    ],
)
def test_levels_of_the_options(
    debug: list[str], exclude: list[str], level: list[str], expected: dict[str, int]
) -> None:
    assert category_levels(debug, exclude, level) == {**dict.fromkeys(CATEGORIES, 20), **expected}


def test_categories_by_cores_names() -> None:
    assert find_categories("all") == find_categories("1") == find_categories("") == tuple(CATEGORIES)
    assert find_categories("none") == find_categories("0") == find_categories("zmq") == ()
    assert find_categories("leveldb") == ("storage",)
    with pytest.raises(ValueError, match="unknown log category 'nett'"):
        find_categories("nett")


def test_category_is_switched_while_running(console: io.StringIO) -> None:
    setup_logging(category_levels(), console=console)
    net.debug("no")
    set_category("net", "debug")
    net.debug("yes")
    assert current_levels() == {**dict.fromkeys(CATEGORIES, "info"), "net": "debug"}
    set_category("all", "warning")
    net.info("no")
    assert lines(console) == ["[net] yes"]
    with pytest.raises(ValueError, match="unknown log level 'loud'"):
        set_category("net", "loud")
    with pytest.raises(ValueError, match="unknown log category 'nett'"):
        set_category("nett", "debug")


def test_second_setup_replaces_the_first(tmp_path: Path) -> None:
    first, second = io.StringIO(), io.StringIO()
    setup_logging({}, console=first, file=tmp_path / "a.log")
    setup_logging({}, console=second)
    net.info("x")
    assert not first.getvalue()
    assert lines(second) == ["[net] x"]
    with pytest.raises(OSError, match="No such file"):
        setup_logging({}, file=tmp_path / "none" / "debug.log")
    net.info("y")
    assert len(lines(second)) == 2
    shutdown_logging()
    assert not module.root.handlers
    assert module.root.propagate


class Status:
    def __init__(self, stream: io.StringIO) -> None:
        self.stream = stream

    def clear(self) -> None:
        self.stream.write("<")

    def redraw(self) -> None:
        self.stream.write(">")


def test_status_line_is_cleared_and_redrawn_around_each_line(console: io.StringIO) -> None:
    setup_logging({}, console=console, status=Status(console))
    net.info("a")
    net.info("b")
    assert re.fullmatch(rf"<{STAMP} \[net\] a\n><{STAMP} \[net\] b\n>", console.getvalue())


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_closed_terminal_and_full_disk_are_no_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    setup_logging({}, console=Full(), file=tmp_path / "debug.log")
    net.info("a")
    monkeypatch.setattr(os, "write", full)
    net.info("b")
    monkeypatch.undo()
    net.info("c")
    assert [line[-1] for line in (tmp_path / "debug.log").read_text().splitlines()] == ["a", "c"]
    assert capsys.readouterr().err == ""


def test_file_is_private_and_there_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "debug.log"
    setup_logging({}, file=path)
    assert path.stat().st_mode & 0o777 == 0o600
    net.info("one")
    shutdown_logging()
    setup_logging({}, file=path)
    net.info("two")
    assert [line[-3:] for line in path.read_text().splitlines()] == ["one", "two"]


def test_file_is_rotated_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE_SIZE", 1000)
    path = tmp_path / "debug.log"
    setup_logging({}, file=path)
    for number in range(200):
        net.info("line %04d", number)
    files = [path.with_name(name) for name in ("debug.log.2", "debug.log.1", "debug.log")]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert all(file.stat().st_size <= 1000 for file in files)
    numbers = [int(line[-4:]) for file in files for line in file.read_text().splitlines()]
    assert numbers == list(range(numbers[0], 200))
    assert len(numbers) > 50


class Steady:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_one_place_cannot_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RATE_BYTES", 1000)
    steady, path = Steady(), tmp_path / "debug.log"
    handler = FileHandler(path, steady)
    module.root.addHandler(handler)
    net.setLevel(logging.DEBUG)

    def noisy(number: int) -> None:
        net.info("flood %03d", number)

    def text() -> list[str]:
        return [line.split(" ", 1)[1] for line in path.read_text().splitlines()]

    for number in range(100):
        noisy(number)
        net.debug("asked for %03d", number)
    net.info("another place")
    size = len(f"2026-11-22T08:00:00Z [net] flood {0:03d}\n")
    allowed = 1000 // size + 1
    assert [line for line in text() if "flood" in line] == [f"[net] flood {n:03d}" for n in range(allowed)]
    assert sum("asked for" in line for line in text()) == 100
    assert text()[-1] == "[net] another place"
    notes = [line for line in text() if "warning" in line]
    assert len(notes) == 1
    place = r"test_log\.py:\d+"
    assert re.fullmatch(
        rf"\[warning\] Excessive logging from {place}: more than 1000 bytes within 3600 s; nothing more from there "
        r"until the time is over\. Console unaffected",
        notes[0],
    )
    steady.now = module.RATE_WINDOW
    noisy(500)
    dropped = 100 * size - 1000
    assert re.fullmatch(rf"\[warning\] Restarting logging from {place}: {dropped} bytes were dropped", text()[-2])
    assert text()[-1] == "[net] flood 500"


def test_terminal_is_not_rate_limited(console: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RATE_BYTES", 100)
    setup_logging({}, console=console)
    for _ in range(50):
        net.info("flood")
    assert len(lines(console)) == 50


THREADS = """
from gevent import monkey; monkey.patch_all()
import io, logging, sys, gevent
from gevent.threadpool import ThreadPool
from pathlib import Path
from ccnode.log import setup_logging
setup_logging({}, file=Path(sys.argv[1]), console=io.StringIO())
log = logging.getLogger("ccnode.net")
def work(name):
    for number in range(500):
        log.debug("x")
        log.info("%s %d", name, number)
pool = ThreadPool(4)
jobs = [pool.spawn(work, f"thread{n}") for n in range(4)]
work("hub")
gevent.joinall(jobs, timeout=20, raise_error=True)
assert all(job.ready() for job in jobs)
"""


def test_native_threads_that_log_do_not_hang_under_gevent(tmp_path: Path) -> None:
    path = tmp_path / "debug.log"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", THREADS, str(path)], check=True, timeout=40, env=environment)
    assert len(path.read_text().splitlines()) == 2500


def test_handler_writes_to_a_given_status_later(console: io.StringIO) -> None:
    handler = ConsoleHandler(console)
    handler.status = Status(console)
    handler.handle(logging.LogRecord("ccnode.net", logging.INFO, "x.py", 1, "a", None, None))
    assert console.getvalue().startswith("<")
