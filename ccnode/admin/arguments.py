"""How the parameters of a JSON-RPC request become the arguments of a command.

A command declares its arguments as a tuple of `Arg`. A request brings them in one of three forms, all Core's
(``rpc/server.cpp``): positional ``[a, b]``, named ``{"x": a, "y": b}``, or mixed ``{"args": [a], "y": b}``. ``null``
stands for an omitted argument. `bind` turns any of them into keyword arguments of the command's function, checked
and converted, or raises `RpcError` with Core's number and text.

A command line has only words. A request may say that its parameters are such words (see ``jsonrpc.py``); then the
declared type decides how a word is read: a string stays as it is, everything else is read as JSON. So the conversion
table that ``bitcoin-cli`` keeps on the client's side lives here, next to the declaration, and cannot fall behind.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ccnode.admin import rpc_errors
from ccnode.errors import RpcError

REQUIRED: Final = object()
"""The default of an argument that has none."""

HASH_DIGITS: Final = 64
"""Hex digits of a hash."""

_INT64_MAX: Final = 2**63 - 1


class ArgType(Enum):
    """What an argument is; the value is the name that help texts use."""

    STRING = "string"
    HASH = "hash"  # 64 hex digits; the function gets 32 bytes in internal order
    INTEGER = "integer"  # signed, 64 bits
    NUMBER = "number"
    BOOLEAN = "boolean"
    VERBOSITY = "boolean or integer"
    ARRAY = "json array"
    OBJECT = "json object"
    JSON = "json"
    ANY = "any"

    @property
    def is_text(self) -> bool:
        """Whether a word of a command line is the value itself."""
        return self in (ArgType.STRING, ArgType.HASH, ArgType.ANY)


_ACCEPTED: Final = {
    ArgType.STRING: ("string",),
    ArgType.HASH: ("string",),
    ArgType.INTEGER: ("number",),
    ArgType.NUMBER: ("number",),
    ArgType.BOOLEAN: ("bool",),
    ArgType.VERBOSITY: ("bool", "number"),
    ArgType.ARRAY: ("array",),
    ArgType.OBJECT: ("object",),
}
"""The JSON types that each takes; a type that is not here takes any."""


@dataclass(frozen=True, slots=True)
class Arg:
    """One declared argument of a command.

    ``default`` is what the function gets when the argument is omitted; without it the argument is required.
    ``completion`` names what a shell offers for it: ``"command"``, ``"peer_id"``, ``"peer_address"``, ``"blockhash"``,
    ``"category"``, or a tuple of fixed words.
    """

    name: str
    type: ArgType
    help: str
    default: object = REQUIRED
    aliases: tuple[str, ...] = ()
    completion: str | tuple[str, ...] | None = None

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    @property
    def traits(self) -> str:
        """Its type, and what stands for it where it is left out."""
        if self.required:
            return f"{self.type.value}, required"
        if self.default is None:
            return f"{self.type.value}, optional"
        shown = str(self.default).lower() if isinstance(self.default, bool) else self.default
        return f"{self.type.value}, optional, default={shown}"


class Doubled(dict[str, object]):
    """An object in which a name is there more than once. As a mapping it has the last of each, as Python has it."""

    def __init__(self, members: list[tuple[str, object]]) -> None:
        super().__init__(members)
        self.members = members


def read_object(members: list[tuple[str, object]]) -> dict[str, object]:
    """For ``json.loads``, by which of two payments to one address the first would be lost without a word."""
    found = dict(members)
    return found if len(found) == len(members) else Doubled(members)


def members_of(value: dict[str, object]) -> list[tuple[str, object]]:
    """All that an object says, doubled names included."""
    return value.members if isinstance(value, Doubled) else list(value.items())


class WrongUsage(Exception):
    """Arguments too many or too few, or not among what a command can do: the answer is its help text."""


def bind(declared: Sequence[Arg], params: object, *, words: bool = False) -> dict[str, object]:
    """Keyword arguments from a request's ``params`` (a list, a mapping or ``None``).

    ``words``: every value is a word of a command line, to be read by the declared type.
    Raises `WrongUsage`, or `RpcError`: unknown or doubled name -8, wrong JSON type -3, out of 64 bits -1.
    """
    if isinstance(params, Doubled):
        counts = Counter(name for name, _value in params.members)
        name = counts.most_common(1)[0][0]
        raise RpcError(rpc_errors.INVALID_PARAMETER, f"Parameter {name} specified multiple times")
    if isinstance(params, Mapping):
        given = _to_positions(declared, params)
    elif isinstance(params, list) or params is None:
        given = list(params or ())
    else:
        raise RpcError(rpc_errors.INVALID_REQUEST, "Params must be an array or object")
    if not sum(arg.required for arg in declared) <= len(given) <= len(declared):
        raise WrongUsage
    if words:
        given = [_read_word(arg, value) for arg, value in zip(declared, given, strict=False)]
    given += [None] * (len(declared) - len(given))
    _check_types(declared, given)
    return {
        arg.name: arg.default if value is None and not arg.required else _convert(arg, value)
        for arg, value in zip(declared, given, strict=True)
    }


def _to_positions(declared: Sequence[Arg], named: Mapping[str, object]) -> list[object]:
    """Named or mixed parameters as positional ones; what is left out in between is ``None``."""
    left = dict(named)
    given = left.pop("args", [])
    if not isinstance(given, list):
        raise RpcError(rpc_errors.INVALID_PARAMETER, "Parameter args must be an array")
    positions: list[object] = list(given)
    for at, arg in enumerate(declared):
        names = [name for name in (arg.name, *arg.aliases) if name in left]
        if not names:
            continue
        if len(names) > 1:
            raise RpcError(rpc_errors.INVALID_PARAMETER, f"Parameter {names[1]} specified multiple times")
        if at < len(given):
            text = f"Parameter {names[0]} specified twice both as positional and named argument"
            raise RpcError(rpc_errors.INVALID_PARAMETER, text)
        positions += [None] * (at - len(positions))
        positions.append(left.pop(names[0]))
    if left:
        raise RpcError(rpc_errors.INVALID_PARAMETER, f"Unknown named parameter {next(iter(left))}")
    return positions


def _read_word(arg: Arg, word: object) -> object:
    if not isinstance(word, str) or arg.type.is_text:
        return word
    try:
        return json.loads(word, object_pairs_hook=read_object)
    except (ValueError, RecursionError):
        text = f'Error parsing JSON: {word}\n(the argument "{arg.name}" wants: {arg.type.value})'
        raise RpcError(rpc_errors.TYPE_ERROR, text) from None


def _check_types(declared: Sequence[Arg], given: Sequence[object]) -> None:
    wrong = {}
    for position, (arg, value) in enumerate(zip(declared, given, strict=True), start=1):
        accepted = _ACCEPTED.get(arg.type, ())
        if not accepted or (value is None and not arg.required) or json_type(value) in accepted:
            continue
        text = f"JSON value of type {json_type(value)} is not of expected type {' or '.join(accepted)}"
        wrong[f"Position {position} ({arg.name})"] = text
    if wrong:
        raise RpcError(rpc_errors.TYPE_ERROR, f"Wrong type passed:\n{json.dumps(wrong, indent=4)}")


def json_type(value: object) -> str:
    """Core's name of a value's JSON type (``uvTypeName``)."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    names = {str: "string", list: "array", dict: "object", Doubled: "object", type(None): "null"}
    return names[type(value)]


def _convert(arg: Arg, value: object) -> object:
    if arg.type is ArgType.HASH:
        return parse_hash(arg.name, str(value))
    is_integer = arg.type is ArgType.INTEGER or (arg.type is ArgType.VERBOSITY and not isinstance(value, bool))
    if is_integer and not (isinstance(value, int) and -_INT64_MAX - 1 <= value <= _INT64_MAX):
        raise RpcError(rpc_errors.MISC_ERROR, "JSON integer out of range")
    return value


def parse_hash(name: str, text: str) -> bytes:
    """The 32 bytes, in internal order, that 64 hex digits show in reverse (Core's ``ParseHashV``)."""
    if len(text) != HASH_DIGITS:
        shown = f"{name} must be of length {HASH_DIGITS} (not {len(text)}, for '{text}')"
        raise RpcError(rpc_errors.INVALID_PARAMETER, shown)
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != 32:  # fromhex skips spaces
        raise RpcError(rpc_errors.INVALID_PARAMETER, f"{name} must be hexadecimal string (not '{text}')")
    return raw[::-1]
