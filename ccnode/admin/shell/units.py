"""Numbers as people read them. Every function takes what RPC gives and returns a short text."""

from datetime import datetime, timezone
from typing import Final

_BYTES: Final = ("B", "kB", "MB", "GB", "TB", "PB")
_MAGNITUDES: Final = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")
_AGES: Final = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))

NOTHING: Final = "-"
"""Stands where there is no value."""


def size(count: float | None) -> str:
    """Bytes, with three significant digits: ``999 B``, ``1.25 MB``."""
    if count is None:
        return NOTHING
    value, unit = float(count), 0
    while abs(value) >= 999.5 and unit < len(_BYTES) - 1:
        value, unit = value / 1000, unit + 1
    digits = 0 if unit == 0 or abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return f"{value:.{digits}f} {_BYTES[unit]}"


def rate(per_second: float | None) -> str:
    """Bytes per second."""
    return NOTHING if per_second is None else f"{size(per_second)}/s"


def span(seconds: float | None) -> str:
    """A time span in its two largest units: ``45s``, ``3m10s``, ``2h05m``, ``12d``."""
    if seconds is None:
        return NOTHING
    left = int(abs(seconds))
    sign = "-" if seconds <= -1 else ""
    for at, (unit, length) in enumerate(_AGES):
        if left >= length:
            whole, rest = divmod(left, length)
            if length == 1 or (whole >= 10 and unit == "d"):
                return f"{sign}{whole}{unit}"
            smaller, smaller_length = _AGES[at + 1]
            return f"{sign}{whole}{unit}{rest // smaller_length:02d}{smaller}"
    return "0s"


def age(then: float | None, now: float) -> str:
    """How long ago ``then`` was; both Unix seconds. Zero stands for never, as in Core's fields."""
    return NOTHING if not then else span(max(0.0, now - then))


def milliseconds(seconds: float | None) -> str:
    """A short time, given in seconds: ``0.4 ms``, ``85 ms``, ``1.2 s``."""
    if seconds is None:
        return NOTHING
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"


def number(value: float | None) -> str:
    """With thousands apart."""
    return NOTHING if value is None else f"{value:,}"


def scaled(value: float | None, unit: str = "") -> str:
    """With three significant digits, and thousands as letters: ``0.25``, ``1.18``, ``126 T``, ``3.2 EH/s``."""
    if value is None:
        return NOTHING
    magnitude = 0
    while abs(value) >= 999.5 and magnitude < len(_MAGNITUDES) - 1:
        value, magnitude = value / 1000, magnitude + 1
    return f"{value:.3g} {_MAGNITUDES[magnitude]}{unit}".rstrip()


def moment(unix: float | None) -> str:
    """A point in time, in UTC: ``2009-01-03 18:15:05``."""
    return NOTHING if unix is None else f"{datetime.fromtimestamp(unix, timezone.utc):%Y-%m-%d %H:%M:%S}"


def share(part: float, whole: float) -> str:
    """As percents."""
    return NOTHING if not whole else f"{100 * part / whole:.1f} %"


def parse_span(text: str) -> int:
    """Seconds of ``90``, ``90s``, ``15m``, ``2h``, ``1d``, ``1w``, or several of them: ``1h30m``. ValueError."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
    total, digits = 0, ""
    for char in text.strip().lower():
        if char.isdecimal():
            digits += char
        elif char in units and digits:
            total, digits = total + int(digits) * units[char], ""
        else:
            raise ValueError(f"'{text}' is no time span; write 90s, 15m, 2h, 1d or 1h30m")
    if digits and total:
        raise ValueError(f"'{text}' ends in a number without a unit")
    if not digits and not total:
        raise ValueError(f"'{text}' is no time span; write 90s, 15m, 2h, 1d or 1h30m")
    return total or int(digits)
