"""Every error ccnode raises on purpose, drawn as one tree.

::

    CcnodeError
    |-- WireError               bytes from a peer that break the protocol
    |   |-- FramingError        the stream itself is unusable: disconnect
    |   `-- DecodeError         one payload is malformed: drop that message
    |-- StorageError            a file or database is damaged or cannot be written: the node stops
    |-- StartupError            the node cannot start; carries the process's exit status
    |   `-- ConfigError         something in the configuration; names file, line and nearest key
    `-- RpcError                a command was refused; carries Core's JSON-RPC error code

A verdict about a header or a block is a value, never an exception. Any other exception is a defect of ours.
"""

from enum import IntEnum


class ExitStatus(IntEnum):
    """What the process ends with. 0 is a requested stop; a start-up error has its own number."""

    OK = 0
    FAULT = 1  # a fault of chain or storage while running, or a command refused
    CONFIG = 2  # a bad key, value or file (argparse uses 2 as well)
    DATADIR = 3  # the data directory cannot be used, or belongs to another network
    LOCKED = 4  # another node runs on the data directory
    BIND = 5  # a listening address is taken or not ours
    DAMAGED = 6  # a store is damaged; the message names the way out


class CcnodeError(Exception):
    """The root: ``except CcnodeError`` catches what we raise on purpose and nothing else.

    ``exit_status`` is what the process ends with where nobody else catches it.
    """

    exit_status = ExitStatus.FAULT


class WireError(CcnodeError):
    """A peer's bytes break the wire protocol."""


class FramingError(WireError):
    """The byte stream cannot be followed any further (wrong magic, oversize length): disconnect."""


class DecodeError(WireError):
    """One payload does not follow its message's format: drop the message, keep the peer."""


class StorageError(CcnodeError):
    """A store is damaged or failed to write. The message says what to do about it."""

    exit_status = ExitStatus.DAMAGED


class StartupError(CcnodeError):
    """The node cannot start; whoever raises it may say what the process ends with."""

    def __init__(self, message: str, exit_status: ExitStatus | None = None) -> None:
        super().__init__(message)
        if exit_status is not None:
            self.exit_status = exit_status


class ConfigError(StartupError):
    """A configuration key or value is wrong."""

    exit_status = ExitStatus.CONFIG


class RpcError(CcnodeError):
    """A command was refused: ``code`` is Bitcoin Core's (``rpc/protocol.h``)."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
