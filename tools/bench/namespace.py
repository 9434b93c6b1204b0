"""A network namespace in which a simulated internet lies: ``python -m tools.bench.namespace COMMAND...`` inside of one.

A crawler must not dial loopback, so it is shown addresses as they are on the internet, on a machine of which nothing
can leave. Linux lets one listener be every host of a range: a ``local`` route on loopback makes its addresses this
machine's own (AnyIP). Other ranges lead to a tunnel that nobody reads, where a dial meets nothing at all, or to an
``unreachable`` route, where it meets an ICMP error. Needs no privilege where users may make namespaces.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from tools.bench.universe import HERE_4, HERE_6, HOLE_4, HOLE_6, NO_WAY_4, NO_WAY_6

ROOT_SERVER: Final = "2001:500::/32"
"""Whoever asks the system whether there is an IPv6 internet asks for the way to one of these."""

TUNNEL: Final = "hole"
SETUP: Final = f"""
    link set lo up
    route add local {HERE_4} dev lo
    -6 route add local {HERE_6} dev lo
    -6 route add local {ROOT_SERVER} dev lo
    tuntap add dev {TUNNEL} mode tun
    link set {TUNNEL} up txqueuelen 1
    address add 64.0.0.1/32 dev {TUNNEL}
    -6 address add 2a00::1/128 dev {TUNNEL} nodad
    route add {HOLE_4} dev {TUNNEL}
    -6 route add {HOLE_6} dev {TUNNEL}
    route add unreachable {NO_WAY_4}
    -6 route add unreachable {NO_WAY_6}
"""
"""Arguments of ``ip``, one call in a line."""


def inside(command: Sequence[str]) -> list[str]:
    """``command`` in a namespace of its own, which is gone when it ends."""
    return ["unshare", "-rn", "--kill-child", sys.executable, "-m", "tools.bench.namespace", *command]


def is_possible() -> bool:
    """Whether this machine lets us make one."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    return subprocess.run(inside(["true"]), capture_output=True).returncode == 0


def set_up() -> None:
    """Make the routes. CalledProcessError where that is not allowed."""
    for line in SETUP.strip().splitlines():
        subprocess.run(["ip", *line.split()], check=True)


if __name__ == "__main__":
    set_up()
    os.execvp(sys.argv[1], sys.argv[1:])
