"""Who may use the HTTP interface, and for what (Core: ``httprpc.cpp``, ``rpc/request.cpp``).

A client sends a name and a password with each request (Basic authentication). Three kinds are known:

- the *cookie*: ``__cookie__`` and a random password that each run writes into a file only our own user can read, so
  whoever can read the data directory needs no password. Not where ``rpcpassword`` is set;
- ``rpcuser`` and ``rpcpassword``, in the clear in the configuration;
- ``rpcauth``: ``NAME:SALT$HASH`` with the HMAC-SHA256 of the password under the salt, as Core's ``rpcauth.py`` has it.

``rpcwhitelist`` limits a user to some methods. All of this travels unencrypted: it is for this machine, or for a
network that one trusts.
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

COOKIE_USER: Final = "__cookie__"
COOKIE_PERMISSIONS: Final[Mapping[str, int]] = {"owner": 0o600, "group": 0o640, "all": 0o644}
"""Modes of the cookie file by the words of ``rpccookieperms``."""

_COOKIE_BYTES: Final = 32
_SALT_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Credential:
    """One user. ``digest`` is the HMAC-SHA256 of the password in hex, under ``salt``."""

    user: str
    salt: str
    digest: str

    @classmethod
    def of_password(cls, user: str, password: str) -> "Credential":
        """Made of a password that is known."""
        salt = secrets.token_hex(_SALT_BYTES)
        return cls(user, salt, _digest(salt, password.encode()))

    @classmethod
    def parse(cls, text: str) -> "Credential":
        """One ``rpcauth``. ValueError if it is none."""
        user, colon, rest = text.partition(":")
        salt, dollar, digest = rest.partition("$")
        if not (colon and dollar) or ":" in rest or "$" in digest:
            raise ValueError("Invalid -rpcauth argument.")
        return cls(user, salt, digest)

    def matches(self, user: bytes, password: bytes) -> bool:
        """Takes as long whether it does or not."""
        known = hmac.compare_digest(self.user.encode(), user)
        return hmac.compare_digest(self.digest.encode(), _digest(self.salt, password).encode()) and known


def _digest(salt: str, password: bytes) -> str:
    return hmac.new(salt.encode(), password, hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Permissions:
    """Who may call which methods."""

    methods: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By user. Users that are not in it may call every method, or none:"""
    others: bool = True

    @classmethod
    def parse(cls, texts: Iterable[str], *, others: bool) -> "Permissions":
        """``rpcwhitelist``: ``USER:METHOD,METHOD``. Of several for a user, what is in all of them counts."""
        methods: dict[str, frozenset[str]] = {}
        for text in texts:
            user, _, listed = text.partition(":")
            allowed = frozenset(listed.replace(",", " ").split())
            methods[user] = methods[user] & allowed if user in methods else allowed
        return cls(methods, others)

    def known(self, user: str) -> bool:
        """Whether the user may call anything at all."""
        return self.others or user in self.methods

    def allow(self, user: str, method: object) -> bool:
        """Whether the user may call the method."""
        return method in self.methods[user] if user in self.methods else self.others


class Authenticator:
    """Knows the users."""

    def __init__(self, credentials: Iterable[Credential]) -> None:
        self._credentials = list(credentials)

    def user(self, header: str) -> str | None:
        """Who sent this ``Authorization`` header; None if nobody we know."""
        scheme, _, encoded = header.partition(" ")
        if scheme != "Basic":
            return None
        try:
            user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        except (ValueError, binascii.Error):
            return None
        found = [each.user for each in self._credentials if each.matches(user, password)]
        return found[0] if found and colon else None


class Cookie:
    """The file with this run's password."""

    def __init__(self, path: Path, permissions: str = "owner") -> None:
        """Write it. OSError if it cannot be."""
        self.path = path
        password = secrets.token_hex(_COOKIE_BYTES)
        self.credential = Credential.of_password(COOKIE_USER, password)
        unfinished = path.with_name(f"{path.name}.tmp")
        unfinished.unlink(missing_ok=True)  # its mode may be another one
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(f"{COOKIE_USER}:{password}")
        unfinished.chmod(COOKIE_PERMISSIONS[permissions])
        unfinished.replace(path)

    def remove(self) -> None:
        """Take the file away."""
        self.path.unlink(missing_ok=True)
