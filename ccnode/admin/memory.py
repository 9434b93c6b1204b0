"""How much memory the process uses, as the system counts it."""

import resource
import sys
from pathlib import Path

import psutil

_STATUS = Path("/proc/self/status")


def memory_use() -> tuple[int, int]:
    """Resident bytes now, and the most so far."""
    resident = psutil.Process().memory_info().rss
    return resident, max(resident, _peak())


def _peak() -> int:
    try:
        fields = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024  # "  1234 kB"
    except (OSError, KeyError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # on Linux it would begin with the parent's peak
        return peak if sys.platform == "darwin" else peak * 1024  # there the unit is bytes
