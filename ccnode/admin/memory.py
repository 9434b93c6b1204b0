"""How much memory the process uses, as the system counts it."""

import resource
import sys
from pathlib import Path

_STATM = Path("/proc/self/statm")


def memory_use() -> tuple[int, int]:
    """Resident bytes now, and the most so far; the latter stands for both where the system tells no more."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if sys.platform != "darwin":  # there the unit is bytes, elsewhere 1024 bytes
        peak *= 1024
    try:
        now = int(_STATM.read_text().split()[1]) * resource.getpagesize()
    except OSError:
        now = peak
    return now, max(now, peak)
