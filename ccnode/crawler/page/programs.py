"""Which program a user agent means, in words for people.

Bitcoin Core calls itself Satoshi, and counted 0.x until 0.21; Knots gives its date as its version.
"""

from typing import Final

from ccnode.crawler.statistics import client_of

_NAMES: Final = {"Satoshi": "Bitcoin Core", "Knots": "Bitcoin Knots"}
MAX_PART: Final = 24


def program(user_agent: str) -> str:
    """Name and main version: ``Bitcoin Core 27``, ``Bitcoin Core 0.21``, ``btcd 0.24``."""
    name, _, version = client_of(user_agent).partition(":")
    parts = version.split(".")
    main = ".".join(parts[:2]) if parts[0] == "0" else parts[0]
    return f"{_NAMES.get(name, name)[:MAX_PART]} {main[:MAX_PART]}".strip()
