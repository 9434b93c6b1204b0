"""Configuration: a flat YAML file, and the command line over it.

Whoever knows ``bitcoin.conf`` knows this file: the keys are Bitcoin Core's (``ccnode.options`` lists them). Rules:

- On the command line: ``--KEY=VALUE`` or ``-KEY=VALUE``, ``--KEY`` for yes, ``--noKEY`` for no or for an empty list.
- A key on the command line replaces the file's; of an option that takes a list, it adds to the file's. ``--noKEY``
  first drops what the file says.
- A key that nobody knows, stands twice in the file or has an ill-typed value is a `ConfigError` with the file, the line
  and the nearest key that exists. A setting that is silently without effect is worse than a node that does not start.
- What some options imply for others follows Core's ``init.cpp`` (``InitParameterInteraction``), and an explicit
  setting always wins over an implied one.

The file is read as text, not as YAML's idea of types: ``no`` in a list of names stays a name, ``1:30`` is no number.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

import yaml

from ccnode.errors import ConfigError
from ccnode.options import (
    CHAIN_ALIASES,
    CHAIN_FLAGS,
    CHAINS,
    IGNORED,
    MAPPING,
    MIN_PRUNE_MIB,
    NOT_BUILT,
    OPTIONS,
    SECRET,
    Config,
    Option,
)

__all__ = ["Config", "config_values", "load_config", "render_config", "render_help"]

COMMAND_LINE = "command line"

HELP_WIDTH = 100
HELP_INDENT = 34
"""Columns of the help text, and where in them the words about an option begin."""

ONE_CHAIN = "Invalid combination of -regtest, -signet, -testnet, -testnet4 and -chain. Can use at most one."


def load_config(arguments: Sequence[str] = (), conf: Path | None = None) -> Config:
    """The configuration that a file and the command line's arguments make together.

    ``arguments`` may name the file themselves: ``-c FILE``, ``--conf=FILE``. Raises `ConfigError`.
    """
    given = list(_from_arguments(arguments))
    conf = next((entry.values[0] for entry in reversed(given) if entry.name == "conf"), conf)
    entries = [*(_from_file(conf) if conf else ()), *given]
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for entry in entries:
        if entry.name not in OPTIONS:
            continue
        if OPTIONS[entry.name].repeat and not entry.clears:
            values[entry.name] = values.get(entry.name, ()) + entry.values
        else:
            values[entry.name] = entry.values if OPTIONS[entry.name].repeat else entry.values[0]
        origins[entry.name] = entry.origin
    if conf:
        values["conf"] = conf
    _imply(values, origins)
    _check(values, origins)
    ignored = tuple(f"{entry.name} ({entry.origin})" for entry in entries if entry.name not in OPTIONS)
    attributes = {name.replace("-", "_"): value for name, value in values.items()}
    return Config(**attributes, origins=origins, ignored=ignored)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One key that somebody wrote, read and found good by itself."""

    name: str
    values: tuple[Any, ...]
    origin: str
    clears: bool = False


def _fail(origin: str, message: str) -> ConfigError:
    """The place goes before the message; of the command line, the message itself says enough."""
    return ConfigError(message if origin == COMMAND_LINE else f"{origin}: {message}")


def _entry(key: str, texts: Sequence[str], origin: str) -> _Entry:
    """Read one key with its values; ``texts`` is empty for ``--KEY`` alone."""
    name, negated = _find(key, origin)
    if key in CHAIN_FLAGS:
        yes = _parse(OPTIONS["listen"], key, texts or ["1"], origin)[0]
        return _Entry(name, (key if yes else "mainnet",), origin)
    if name in IGNORED:
        return _Entry(name, (), origin)
    if name in NOT_BUILT:
        return _not_built(name, texts, origin, negated=negated)
    option = OPTIONS[name]
    if negated:
        return _negated(option, key, texts, origin)
    if not texts and option.kind.bare is not None:
        texts = [option.kind.bare]
    if not texts:
        raise _fail(origin, f"'{key}' needs a value: {option.kind.wants}")
    if len(texts) > 1 and not option.repeat:
        raise _fail(origin, f"'{key}' takes one value, not a list")
    if name == "connect" and list(texts) == ["0"]:
        return _Entry(name, (), origin, clears=True)
    return _Entry(name, _parse(option, key, texts, origin), origin)


def _not_built(name: str, texts: Sequence[str], origin: str, *, negated: bool) -> _Entry:
    """A key for what the node does not have. To be without it is no wish that could go unheard; all else is."""
    if negated or all(text.lower() in ("0", "false", "no") for text in texts or ["1"]):
        return _Entry(name, (), origin)
    raise _fail(origin, f"'{name}' cannot be honoured: this node does not have {NOT_BUILT[name]} yet")


def _find(key: str, origin: str) -> tuple[str, bool]:
    """The option that a key means, and whether it is negated."""
    if key in CHAIN_FLAGS:
        return "chain", False
    for name, negated in ((key, False), (key.removeprefix("no"), True)):
        if name in IGNORED or name in NOT_BUILT or name in OPTIONS:
            return name, negated and name != key
    dash = "--" if origin == COMMAND_LINE else ""
    message = f"unknown {'option' if dash else 'key'} {dash}{key}"
    names = [*OPTIONS, *CHAIN_FLAGS, *(f"no{name}" for name in OPTIONS)]
    near = difflib.get_close_matches(key.lower(), names, n=1)
    raise _fail(origin, f"{message}; did you mean {dash}{near[0]}?" if near else message)


def _negated(option: Option, key: str, texts: Sequence[str], origin: str) -> _Entry:
    """``noKEY`` (``noKEY: 1``); Core also takes ``noKEY=0``, a double negative, and so do we for yes-or-no options."""
    negate = _parse(OPTIONS["listen"], key, texts or ["1"], origin)[0]
    if option.repeat and negate:
        return _Entry(option.name, (), origin, clears=True)
    if isinstance(option.default, bool):
        return _Entry(option.name, (not negate,), origin)
    if option.kind.negated is not None and negate:
        return _Entry(option.name, (option.kind.parse(option.kind.negated),), origin)
    raise _fail(origin, f"'{key}' makes no sense: '{option.name}' wants {option.kind.wants}")


def _parse(option: Option, key: str, texts: Sequence[str], origin: str) -> tuple[Any, ...]:
    values = []
    for text in texts:
        try:
            values.append(option.kind.parse(text))
        except ValueError:
            complaint = option.kind.complaint or f"'{key}' wants {option.kind.wants}, not '{{}}'"
            raise _fail(origin, complaint.format(text)) from None
    return tuple(values)


def _from_arguments(arguments: Sequence[str]) -> Iterator[_Entry]:
    rest = iter(arguments)
    chain_keys = set()
    for argument in rest:
        key, equals, text = argument.lstrip("-").partition("=")
        if argument == "-c":
            key, equals, text = "conf", "=", next(rest, "")
        if not argument.startswith("-") or not key:
            raise ConfigError(f"unexpected argument '{argument}'; options are written --KEY=VALUE")
        if key == "chain" or key in CHAIN_FLAGS:
            chain_keys.add(key)
        yield _entry(key, [text] if equals else [], COMMAND_LINE)
    if len(chain_keys) > 1:
        raise ConfigError(ONE_CHAIN)


def _from_file(path: Path) -> Iterator[_Entry]:
    root = _compose(path)
    lines: dict[str, int] = {}
    for key_node, node in root.value if root else ():
        line = key_node.start_mark.line + 1
        origin = f"{path}:{line}"
        key = str(key_node.value)
        name, _ = _find(key, origin)
        if name == "chain" and name in lines:
            raise _fail(origin, ONE_CHAIN)
        if name in lines:
            raise _fail(origin, f"'{name}' appears twice (first on line {lines[name]})")
        lines[name] = line
        if name == "conf":
            raise _fail(origin, "'conf' cannot be set in the configuration file; use the command line")
        if name in OPTIONS and OPTIONS[name].kind is MAPPING:
            yield _Entry(name, (_mapping(key, node, path),), origin)
        else:
            texts = _texts(key, node, path)
            if not texts:
                raise _fail(origin, f"'{key}' has no value")
            yield _entry(key, texts, origin)


def _compose(path: Path) -> yaml.MappingNode | None:
    """The file's mapping as nodes, which know their lines; ``None`` for a file without content."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if mark is None:
            raise ConfigError(f"{path}: {error}") from error
        problem = error.problem or error.context
        if text[mark.index : mark.index + 1] == "\t":
            problem = "a tab character; YAML is indented with spaces"
        raise ConfigError(f"{path}:{mark.line + 1}: {problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{path}:{line}: a control character (code {error.character})") from error
    if root is None or root.tag.endswith(":null"):
        return None
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{path}:{root.start_mark.line + 1}: lines of KEY: VALUE are wanted here")
    return root


def _texts(key: str, node: yaml.Node, path: Path) -> list[str]:
    """The values of a key as they are written; none for a key without a value."""
    if isinstance(node, yaml.ScalarNode):
        return [] if node.tag.endswith(":null") else [node.value]
    if isinstance(node, yaml.MappingNode) and key == "checkpoints":
        pairs = [(_texts(key, height, path), _texts(key, value, path)) for height, value in node.value]
        return [f"{''.join(height)}:{''.join(value)}" for height, value in pairs]
    if isinstance(node, yaml.SequenceNode):
        texts = [_texts(key, item, path) for item in node.value if isinstance(item, yaml.ScalarNode)]
        if len(texts) == len(node.value) > 0 and all(texts):
            return [text for item in texts for text in item]
    raise _fail(f"{path}:{node.start_mark.line + 1}", f"'{key}' takes a value or a list of values")


def _mapping(key: str, node: yaml.Node, path: Path) -> Mapping[str, Any]:
    """A mapping with YAML's own types, passed on as it is."""
    if not isinstance(node, yaml.MappingNode):
        raise _fail(f"{path}:{node.start_mark.line + 1}", f"'{key}' wants a mapping")
    seen: dict[str, int] = {}
    for name, _ in node.value:
        line = name.start_mark.line + 1
        if name.value in seen:
            raise _fail(f"{path}:{line}", f"'{name.value}' appears twice (first on line {seen[name.value]})")
        seen[name.value] = line
    try:
        value: dict[str, Any] = yaml.SafeLoader("").construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line if error.problem_mark else node.start_mark.line
        raise ConfigError(f"{path}:{line + 1}: {error.problem}") from error
    except ValueError as error:  # a date or number that is none
        raise ConfigError(f"{path}:{node.start_mark.line + 1}: in '{key}': {error}") from error
    return value


def _imply(values: dict[str, Any], origins: dict[str, str]) -> None:
    """What options imply for others that nobody set. Core: ``InitParameterInteraction``."""

    def imply(name: str, value: bool, cause: str) -> None:
        if name not in values:
            values[name] = value
            origins[name] = f"implied by {cause}"

    for name in ("bind", "whitebind"):
        if values.get(name):
            imply("listen", True, name)
    for name in ("rpcport", "rpcbind"):
        if values.get(name) not in (None, ()):
            imply("server", True, name)
    if values.get("rpcwhitelist"):
        imply("rpcwhitelistdefault", True, "rpcwhitelist")
    if "connect" in values:
        imply("dnsseed", False, "connect")
        imply("listen", False, "connect")
    if any(text not in ("", "0") for text in values.get("proxy", ())):
        for name in ("listen", "discover", "natpmp"):
            imply(name, False, "proxy")
    if values.get("maxconnections") == 0:
        imply("dnsseed", False, "maxconnections=0")
        imply("listen", False, "maxconnections=0")
    if values.get("listen") is False:
        imply("discover", False, "listen=0")
    if values.get("externalip"):
        imply("discover", False, "externalip")
    if values.get("onlynet") and not {"ipv4", "ipv6"} & set(values["onlynet"]):
        if values.get("dnsseed"):
            raise _fail(
                origins["dnsseed"],
                "Incompatible options: -dnsseed=1 was explicitly specified, but -onlynet forbids connections to "
                "IPv4/IPv6",
            )
        imply("dnsseed", False, "onlynet")


def _check(values: dict[str, Any], origins: dict[str, str]) -> None:
    """Settings that contradict each other; and the chain's name as we spell it."""
    chain = values.get("chain", "mainnet")
    chain = CHAIN_ALIASES.get(chain, chain)
    if values.get("network") is not None:
        if chain in CHAINS:
            raise _fail(
                origins["network"], f"'network' defines a network of its own: 'chain' must name it, not '{chain}'"
            )
    elif chain not in CHAINS:
        near = difflib.get_close_matches(chain, [*CHAINS, *CHAIN_ALIASES], n=1)
        raise _fail(origins["chain"], f"Unknown chain {chain}." + (f" Did you mean {near[0]}?" if near else ""))
    if "chain" in values:
        values["chain"] = chain
    for name in ("signetchallenge", "signetseednode"):
        if values.get(name) and chain != "signet":
            raise _fail(origins[name], f"'{name}' is for chain signet, and this is {chain}")
    if values.get("test") and chain != "regtest":
        raise _fail(origins["test"], "-test=<option> can only be used with regtest")
    if values.get("testactivationheight") and chain != "regtest":
        raise _fail(origins["testactivationheight"], "-testactivationheight can only be used with regtest")
    if values.get("vbparams") and chain != "regtest":
        raise _fail(origins["vbparams"], "-vbparams can only be used with regtest")
    if values.get("forcednsseed") and values.get("dnsseed") is False:
        raise _fail(origins["forcednsseed"], "Cannot set -forcednsseed to true when setting -dnsseed to false.")
    prune = values.get("prune", 0)
    if 1 < prune < MIN_PRUNE_MIB:
        raise _fail(
            origins["prune"],
            f"Prune configured below the minimum of {MIN_PRUNE_MIB} MiB. Please use a higher number.",
        )
    if prune and values.get("reindex-chainstate"):
        raise _fail(
            origins["reindex-chainstate"],
            "Prune mode is incompatible with -reindex-chainstate. Use full -reindex instead.",
        )
    if values.get("peerblockfilters") and not values.get("blockfilterindex"):
        raise _fail(origins["peerblockfilters"], "Cannot set -peerblockfilters without -blockfilterindex.")
    for name in ("bind", "whitebind"):
        if values.get(name) and values.get("listen") is False:
            raise _fail(origins[name], "Cannot set -bind or -whitebind together with -listen=0")


def render_config(config: Config) -> str:
    """The settings in effect as a YAML file, each with where it comes from; loading it gives the same settings."""
    lines: list[str] = []
    group = ""
    for option in OPTIONS.values():
        if option.group != group:
            group = option.group
            lines += ["", f"# {group}"]
        value = getattr(config, option.name.replace("-", "_"))
        origin = config.origins.get(option.name, "default")
        if option.name == "connect" and not value and not config.automatic:
            value = "0"
        if value in (None, ()) or option.name == "conf":
            lines.append(f"# {option.name}: {value or 'not set'}  ({origin})")
            continue
        plain = _plain(option, value)
        style = None if isinstance(plain, (list, dict)) else False  # lists on one line
        text = yaml.safe_dump({option.name: plain}, default_flow_style=style, sort_keys=False, width=2**20).rstrip()
        first, *more = text.split("\n")
        lines += [f"{first}  # {origin}", *more]
    return "\n".join(lines[1:]) + "\n"


def config_values(config: Config) -> dict[str, Any]:
    """The settings in effect by name, in JSON's types; those that are secret only say whether they are set."""
    values = {name: getattr(config, name.replace("-", "_")) for name in OPTIONS}
    return {
        name: None if value is None else "not shown" if name in SECRET and value else _plain(OPTIONS[name], value)
        for name, value in values.items()
    }


def _plain(option: Option, value: Any) -> Any:
    """A value in YAML's types."""
    if option.name == "checkpoints":
        return {height: block_hash[::-1].hex() for height, block_hash in value}
    if option.name == "minimumchainwork":
        return f"0x{value:x}"
    if option.name == "assumevalid" and value is not None:
        return value[::-1].hex() or "0"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value


def render_help() -> str:
    """Every option with its default, in groups, for ``--help``."""
    lines: list[str] = []
    group = ""
    for option in OPTIONS.values():
        if option.group != group:
            group = option.group
            lines += ["", f"{group}:"]
        usage = f"--{option.name}" if option.kind.bare else f"--{option.name}=VALUE"
        notes = ["repeatable"] if option.repeat else []
        if option.default not in (None, ()):
            notes.append(f"default {_plain_word(option.default)}")
        text = option.help + (f" ({', '.join(notes)})" if notes else "")
        first, *more = wrap(text, HELP_WIDTH - HELP_INDENT, break_long_words=False, break_on_hyphens=False)
        lines.append(f"  {usage:<{HELP_INDENT - 3}} {first}")
        lines += [" " * HELP_INDENT + line for line in more]
    return "\n".join(lines[1:]) + "\n"


def _plain_word(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
