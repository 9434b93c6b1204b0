"""How much memory the process uses, as the system counts it."""

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def memory_use() -> tuple[int, int]:
    """Resident bytes now, and the most so far; the latter stands for both where the system tells no more."""
    try:
        fields = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        return _bytes(fields["VmRSS"]), _bytes(fields["VmHWM"])
    except (OSError, KeyError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # on Linux it would begin with the parent's peak
        peak *= 1 if sys.platform == "darwin" else 1024  # there the unit is bytes, elsewhere 1024 bytes
        return peak, peak


def _bytes(kilobytes: str) -> int:
    """``"  1234 kB"`` in bytes."""
    return int(kilobytes.split()[0]) * 1024
