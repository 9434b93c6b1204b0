"""Which node is meant when nobody says: the one that runs.

A node has its admin socket in its network's folder: the data directory itself for mainnet, folders in it for the other
networks. A socket file may outlive its node, so each is tried.
"""

import socket
from pathlib import Path
from typing import Final

from ccnode.admin.client import POINTER_NAME, SOCKET_NAME, NotRunning, call, find_socket
from ccnode.errors import CcnodeError

TIMEOUT: Final = 1.0
"""Seconds in which a node takes a connection and answers."""


def living_nodes(datadir: Path) -> list[Path]:
    """The networks' folders at and below ``datadir`` whose node listens, mainnet's first."""
    try:
        below = sorted(path for path in datadir.iterdir() if path.is_dir())
    except OSError:
        return []
    return [folder for folder in [datadir, *below] if _listens(folder)]


def _listens(folder: Path) -> bool:
    if not any((folder / name).exists() for name in (SOCKET_NAME, POINTER_NAME)):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT)
        try:
            connection.connect(str(find_socket(folder)))
        except OSError:
            return False
    return True


def choose(datadir: Path, *, ask: bool) -> Path:
    """The folder of the only node that runs below ``datadir``, or of the one that its user chooses.

    ``ask``: somebody is there to choose. Raises CcnodeError where it is not clear which, NotRunning for none.
    """
    found = living_nodes(datadir)
    if not found:
        raise NotRunning(
            f"no node is running below {datadir}; start one with  ccnode --chain=signet  (or -c FILE), "
            "or say where it is: -c FILE, --datadir=DIR or --socket=PATH"
        )
    if len(found) == 1:
        return found[0]
    if not ask:
        lines = [f"  --socket={find_socket(folder)}" for folder in found]
        raise CcnodeError("\n".join(["several nodes are running; say which:", *lines]))
    for number, folder in enumerate(found, 1):
        print(f"{number}  {folder}  {_describe(folder)}")
    while True:
        try:
            answer = input(f"which node, 1 to {len(found)}? ").strip()
        except EOFError:
            raise CcnodeError("no node was chosen") from None
        if answer.isdecimal() and 1 <= int(answer) <= len(found):
            return found[int(answer) - 1]


def _describe(folder: Path) -> str:
    """A few words about the node there."""
    try:
        status = call(find_socket(folder), "status", timeout=TIMEOUT)
    except CcnodeError as error:
        return str(error)
    assert isinstance(status, dict)
    return f"{status['chain']}, {status['phase']}, height {status['height']:,}"
