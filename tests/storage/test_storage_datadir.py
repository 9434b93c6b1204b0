"""The data directory: made private, locked against a second node, with room for the admin socket."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ccnode.errors import ExitStatus, StartupError
from ccnode.storage import datadir as module
from ccnode.storage.datadir import DataDir
from tests.support.data import ROOT

HOLDER = """
import sys
from pathlib import Path
from ccnode.storage.datadir import DataDir
directory = DataDir(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_directory_is_made_for_its_owner_only(tmp_path: Path) -> None:
    directory = DataDir(tmp_path / "a" / "b" / "regtest")
    assert directory.path == tmp_path / "a" / "b" / "regtest"
    for path in (tmp_path / "a", tmp_path / "a" / "b", directory.path, directory.blocks):
        assert mode(path) == 0o700
    assert (directory.path / ".lock").read_text() == f"{os.getpid()}\n"
    assert directory.headers == directory.path / "blocks" / "headers.dat"
    assert directory.database == directory.path / "node.sqlite"
    assert directory.debug_log == directory.path / "debug.log"
    assert directory.cookie == directory.path / ".cookie"
    assert directory.socket == directory.path / "admin.sock"
    assert sorted(os.listdir(directory.path)) == [".lock", "blocks"]
    directory.close()
    directory.close()


def test_directory_that_exists_is_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "blocks").mkdir()
    (tmp_path / "blocks" / "headers.dat").write_bytes(b"kept")
    DataDir(tmp_path).close()
    assert mode(tmp_path) == 0o755
    assert (tmp_path / "blocks" / "headers.dat").read_bytes() == b"kept"


def test_second_node_is_kept_out_and_told_who_is_there(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"locked\n"
    message = (
        f"Cannot obtain a lock on directory {tmp_path}. ccnode is probably already running (process {holder.pid})."
    )
    for _ in range(2):
        with pytest.raises(StartupError, match=f"^{re.escape(message)}$") as caught:
            DataDir(tmp_path)
        assert caught.value.exit_status is ExitStatus.LOCKED
    holder.kill()
    holder.communicate()
    DataDir(tmp_path).close()  # the lock died with its owner


def test_lock_is_free_again_after_close(tmp_path: Path) -> None:
    first = DataDir(tmp_path)
    with pytest.raises(StartupError):
        DataDir(tmp_path)
    first.close()
    DataDir(tmp_path).close()


def test_two_networks_in_one_directory_do_not_meet(tmp_path: Path) -> None:
    mainnet, regtest = DataDir(tmp_path), DataDir(tmp_path / "regtest")
    mainnet.close()
    regtest.close()


@pytest.mark.parametrize("place", ["file", "file/below", "file/deep/below"])
def test_place_that_is_no_directory(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartupError, match=f"^the data directory {tmp_path}/{place} cannot be used: ") as caught:
        DataDir(tmp_path / place)
    assert caught.value.exit_status is ExitStatus.DATADIR


def test_directory_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def read_only(path: object, flags: int, mode: int = 0o777) -> int:
        if str(path).endswith(".lock"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, mode)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", read_only)
    message = f"the data directory {tmp_path} cannot be used: {tmp_path}/.lock: Permission denied"
    with pytest.raises(StartupError, match=f"^{re.escape(message)}$"):
        DataDir(tmp_path)


def test_full_disk_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StartupError, match="No space left on device"):
        DataDir(tmp_path)
    monkeypatch.undo()
    DataDir(tmp_path).close()


def test_socket_of_a_long_path_goes_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    deep = tmp_path / ("d" * 100)
    directory = DataDir(deep)
    assert len(os.fsencode(directory.socket)) <= module.SOCKET_PATH_MAX
    assert directory.socket.parent == tmp_path / "run" / "ccnode"
    assert mode(directory.socket.parent) == 0o700
    assert directory.socket_pointer.read_text() == f"{directory.socket}\n"
    directory.close()
    assert not directory.socket_pointer.exists()
    other = DataDir(tmp_path / ("e" * 100))
    assert other.socket != directory.socket
    other.close()


def test_pointer_left_by_an_earlier_place_is_removed(tmp_path: Path) -> None:
    (tmp_path / "admin.sock.path").write_text("/somewhere/else\n")
    directory = DataDir(tmp_path)
    assert not directory.socket_pointer.exists()
    directory.close()


def test_runtime_directory_that_others_can_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    (tmp_path / "run" / "ccnode").mkdir(parents=True)
    (tmp_path / "run" / "ccnode").chmod(0o777)
    with pytest.raises(StartupError, match="is not a directory of this user alone"):
        DataDir(tmp_path / ("d" * 100))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / ("r" * 100)))
    with pytest.raises(StartupError, match="no short enough path for the admin socket"):
        DataDir(tmp_path / ("d" * 100))
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path))
    directory = DataDir(tmp_path / ("d" * 100))
    assert directory.socket.parent == tmp_path / f"ccnode-{os.getuid()}"
    directory.close()
