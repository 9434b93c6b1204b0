"""A peer that sends as much as the node takes: ``python -m tools.bench.flood PORT SECONDS KIND``; see `FLOODS`."""

import socket
import sys
import threading
import time
from collections.abc import Callable

from ccnode.wire.framing import V1Transport
from ccnode.wire.protocol import MAX_INV_SZ, MAX_PROTOCOL_MESSAGE_LENGTH, InvType
from ccnode.wire.serialize import compact_size
from tests.support.scripted import Link
from tools.bench.regtest import PARAMS

FLOODS: dict[str, Callable[[], list[tuple[str, bytes]]]] = {
    "pings": lambda: [("ping", i.to_bytes(8, "little")) for i in range(5_000)],
    "full inv lists": lambda: [
        ("inv", compact_size(MAX_INV_SZ) + (InvType.BLOCK.to_bytes(4, "little") + bytes(32)) * MAX_INV_SZ)
    ],
    "4 MB of nothing": lambda: [("nothing", bytes(MAX_PROTOCOL_MESSAGE_LENGTH))],
    "getheaders": lambda: [("getheaders", bytes(4) + b"\1" + PARAMS.genesis_hash + bytes(32))] * 100,
}
"""Kind of flood -> the messages (command, payload) of one round."""


def main() -> None:
    port, seconds, kind = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    transport = V1Transport(PARAMS.magic)
    data = b"".join(transport.frame(command, payload) for command, payload in FLOODS[kind]())
    link = Link.connect(port)
    link.handshake()
    threading.Thread(target=_drain, args=(link.sock,), daemon=True).start()
    print("flooding", flush=True)
    end = time.monotonic() + seconds
    sent = 0
    try:
        while time.monotonic() < end:
            link.send_raw(data)
            sent += len(data)
    except OSError as error:
        print(f"the node ended it after {sent} bytes: {error}", file=sys.stderr)
    print(sent, flush=True)


def _drain(sock: socket.socket) -> None:
    """Take what the node answers, so that it goes on reading us."""
    try:
        while sock.recv(1 << 20):
            pass
    except OSError:
        return


if __name__ == "__main__":
    main()
