"""Prints the peers of a running ccnode as they come and go.

    python examples/peers_come_and_go.py ~/.ccnode/admin.sock

It needs nothing but Python, and shows all there is to the protocol: JSON-RPC 2.0 over a unix socket, a line for each
request and each answer. After ``subscribe`` the node sends a line for whatever happens, until either side hangs up.
"""

import json
import socket
import sys
import time


def main(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        lines = connection.makefile("rb")
        for peer in call(connection, lines, "getpeerinfo"):
            show("here", peer["id"], peer["addr"], peer["connection_type"], peer["subver"])
        call(connection, lines, "subscribe", ["peer"])
        for line in lines:
            event = json.loads(line)["params"]
            if event["topic"] == "dropped":  # we were too slow to read
                show("lost", event["count"], "events")
            elif event["event"] == "disconnected":
                show("gone", event["id"], event["addr"], event["reason"])
            elif event["event"] == "handshaked":  # "connected" was before it said who it is
                show("came", event["id"], event["addr"], event["connection_type"], event["subver"])
    print("the node has stopped")


def call(connection, lines, method, *params):
    """Send a request, return the answer's result."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    connection.sendall(json.dumps(request).encode() + b"\n")
    answer = json.loads(lines.readline())
    if "error" in answer:
        sys.exit(f"{method}: {answer['error']['message']}")
    return answer["result"]


def show(what, *words):
    print(time.strftime("%H:%M:%S"), what, *words, flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:
        pass
    except OSError as error:
        sys.exit(f"no node on {sys.argv[1]}: {error.strerror}")
