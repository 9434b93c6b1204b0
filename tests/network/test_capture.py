"""Message capture: the records, what is no message, and a disk that does not take them."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

from ccnode.network import capture as capture_module
from ccnode.network.capture import FOLDER, RECORD, MessageCapture
from ccnode.wire.address import NetworkAddress
from ccnode.wire.framing import Transport, V1Transport
from tests.support.clock import ManualClock

MAGIC = b"\xfa\xbf\xb5\xda"
ADDRESS = NetworkAddress.parse("8.8.8.8:8333")


@pytest.fixture
def capture(tmp_path: Path) -> Iterator[MessageCapture]:
    capture = MessageCapture(tmp_path, ManualClock(1_700_000_000.25))
    yield capture
    capture.close()


def records(path: Path) -> list[tuple[int, bytes, bytes]]:
    data, found = path.read_bytes(), []
    while data:
        stamp, name, size = RECORD.unpack_from(data)
        found.append((stamp, name.rstrip(b"\0"), data[RECORD.size : RECORD.size + size]))
        data = data[RECORD.size + size :]
    return found


def receive(transport: Transport, data: bytes) -> None:
    transport.receive_data(data)
    while transport.next_frame() is not None:
        pass


def test_both_directions_in_cores_format(capture: MessageCapture, tmp_path: Path) -> None:
    transport = capture.transport(V1Transport(MAGIC), ADDRESS)
    other = V1Transport(MAGIC)
    assert transport.frame("ping", b"12345678") == other.frame("ping", b"12345678")
    transport.frame("verack", b"")
    receive(transport, other.frame("twelve_bytes", b"x") + other.frame("pong", b"12345678"))
    capture.close()
    folder = tmp_path / FOLDER / "8.8.8.8_8333"
    assert records(folder / "msgs_sent.dat") == [
        (1_700_000_000_250_000, b"ping", b"12345678"),
        (1_700_000_000_250_000, b"verack", b""),
    ]
    assert records(folder / "msgs_recv.dat") == [
        (1_700_000_000_250_000, b"twelve_bytes", b"x"),
        (1_700_000_000_250_000, b"pong", b"12345678"),
    ]
    assert (folder / "msgs_sent.dat").read_bytes()[:24] == (
        (1_700_000_000_250_000).to_bytes(8, "little") + b"ping".ljust(12, b"\0") + b"\x08\0\0\0"
    )


def test_colons_are_no_part_of_a_file_name(capture: MessageCapture, tmp_path: Path) -> None:
    capture.transport(V1Transport(MAGIC), NetworkAddress.parse("[2001:db8::5]:8333")).frame("verack", b"")
    capture.close()
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["[2001_db8__5]_8333"]


def test_a_second_connection_of_an_address_goes_on_in_the_same_files(capture: MessageCapture, tmp_path: Path) -> None:
    for _ in range(2):
        capture.transport(V1Transport(MAGIC), ADDRESS).frame("verack", b"")
        gevent.sleep(0.01)
    capture.close()
    assert len(records(tmp_path / FOLDER / "8.8.8.8_8333" / "msgs_sent.dat")) == 2


def test_what_is_no_message_is_not_captured(capture: MessageCapture, tmp_path: Path) -> None:
    transport = capture.transport(V1Transport(MAGIC), ADDRESS)
    good = V1Transport(MAGIC).frame("ping", b"12345678")
    receive(transport, good[:-1] + b"\0" + good)
    capture.close()
    assert len(records(tmp_path / FOLDER / "8.8.8.8_8333" / "msgs_recv.dat")) == 1


def test_large_messages_pass_in_place_as_well(capture: MessageCapture, tmp_path: Path) -> None:
    payload = bytes(range(256)) * 4000
    transport = capture.transport(V1Transport(MAGIC), ADDRESS)
    data = memoryview(V1Transport(MAGIC).frame("block", payload))
    transport.receive_data(bytes(data[:1000]))
    assert transport.next_frame() is None
    assert transport.payload_size == len(payload)
    rest = data[1000:]
    while (buffer := transport.payload_buffer()) is not None:
        count = min(len(buffer), len(rest))
        buffer[:count] = rest[:count]
        buffer.release()
        transport.payload_filled(count)
        rest = rest[count:]
    assert transport.next_frame() is not None
    capture.close()
    assert records(tmp_path / FOLDER / "8.8.8.8_8333" / "msgs_recv.dat")[0][2] == payload


def test_the_hub_does_not_wait_for_the_disk(
    capture: MessageCapture, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(capture_module, "MAX_WAITING", 1000)
    monkeypatch.setattr(capture_module, "_write", lambda _batch: time.sleep(0.05))
    transport = capture.transport(V1Transport(MAGIC), ADDRESS)
    with caplog.at_level(logging.WARNING, "ccnode.net"):
        transport.frame("ping", bytes(900))
        gevent.sleep(0.01)
        transport.frame("ping", bytes(900))  # the first is still being written
        transport.frame("ping", bytes(900))
    assert [record.getMessage() for record in caplog.records] == [
        "messages are missing from the capture: the disk does not keep up"
    ]


def test_a_flush_waits_for_all_that_was_noted_before(capture: MessageCapture, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    write = capture_module._write

    def slow_write(batch: dict[Path, list[bytes]]) -> OSError | None:
        time.sleep(0.02)
        written.extend(len(pieces) // 2 for pieces in batch.values())
        return write(batch)

    monkeypatch.setattr(capture_module, "_write", slow_write)
    transport = capture.transport(V1Transport(MAGIC), ADDRESS)
    capture.flush()
    transport.frame("ping", b"")
    gevent.sleep(0.005)
    for _ in range(3):  # the first is on its way to the disk
        transport.frame("ping", b"")
    capture.flush()
    assert written == [1, 3]


def test_a_disk_that_takes_nothing_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FOLDER).write_text("in the way")
    capture = MessageCapture(tmp_path, ManualClock())
    transport = capture.transport(V1Transport(MAGIC), ADDRESS)
    with caplog.at_level(logging.WARNING, "ccnode.net"):
        transport.frame("ping", b"")
        gevent.sleep(0.05)
        transport.frame("ping", b"")
        capture.close()
    assert len(caplog.records) == 1
    assert "Not a directory" in caplog.text or "File exists" in caplog.text
