"""The options of a round. Those about the network, the way to it and the data directory are the node's own."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ccnode.config import load_config
from ccnode.crawler.table import ADDRESSES
from ccnode.errors import ConfigError
from ccnode.options import Config

NODE_OPTIONS: Final = """
Options of the node are understood as well, in its file (-c FILE) or here: --chain, --datadir (with headers there, the
peers' heights are verified), --proxy, --onion, --onlynet, --cjdnsreachable, --asmap, --dnsserver, --dnsseed=0,
--fixedseeds=0.
"""

ABOVE_ZERO: Final = ("rate", "concurrency", "max_time", "max_addresses", "max_bandwidth", "every")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asks of a round."""

    hosts: tuple[str, ...] = ()
    """The nodes to probe."""
    seeds: tuple[str, ...] = ()
    out: Path = Path("census")
    dry_run: bool = False
    resume: bool = False
    rate: float = 1500.0
    concurrency: int = 4000
    max_time: float = float("inf")
    max_addresses: int = ADDRESSES
    max_bandwidth: float = float("inf")
    contact: str | None = None
    opt_out: Path | None = None
    json: bool = False
    edges: bool = False
    vantage: str = ""
    listen: int = 0
    """Connections of ``watch`` that stay."""
    every: float = 300.0
    """Seconds from one look of ``watch`` at what is due to the next."""


def parse(command: str, arguments: Sequence[str], description: str) -> tuple[Options, Config]:
    """The options of ``crawl``, ``watch`` or ``probe``, and the node's configuration. ConfigError."""
    known, rest = _parser(command, description).parse_known_args(arguments)
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in vars(known).items()
        if value is not None
    }
    allow_unroutable = values.pop("allow_unroutable")
    options = Options(**values)
    for name in ABOVE_ZERO:
        if not getattr(options, name) > 0:  # nor NaN
            raise ConfigError(f"{name.replace('_', '-')} must be above 0")
    if options.listen < 0:
        raise ConfigError("listen must not be negative")
    config = load_config(rest)
    return options, replace(config, allowunroutable=True) if allow_unroutable else config


def _parser(command: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"crawl.py {command}",
        description=description,
        epilog=NODE_OPTIONS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=None,
        allow_abbrev=False,
    )
    if command == "probe":
        parser.add_argument("hosts", nargs="+", metavar="HOST[:PORT]", help="nodes to look at")
    else:
        parser.add_argument("--seed", action="append", dest="seeds", metavar="HOST[:PORT]", help="where to begin")
        parser.add_argument("--out", type=Path, metavar="DIR", help="where the census is kept (census)")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and whether it can be")
        parser.add_argument("--resume", action="store_true", help="go on with a round that was interrupted")
        parser.add_argument("--edges", action="store_true", help="keep who named whom")
        parser.add_argument("--vantage", metavar="NAME", help="of this place, where files of several are to be merged")
        if command == "watch":
            parser.add_argument("--listen", type=int, metavar="N", help="connections that stay, to hear announcements")
            parser.add_argument("--every", type=float, metavar="SECONDS", help="look so often who is due (300)")
        parser.add_argument("--max-addresses", type=int, metavar="N", help=f"keep no more in mind ({ADDRESSES})")
        parser.add_argument("--max-time", type=float, metavar="SECONDS", help="end then")
    defaults = Options()
    parser.add_argument("--rate", type=float, metavar="N", help=f"dials per second ({defaults.rate:g})")
    parser.add_argument(
        "--concurrency", type=int, metavar="N", help=f"dials at a time in each IP network ({defaults.concurrency})"
    )
    parser.add_argument("--max-bandwidth", type=float, metavar="N", help="bytes received per second, on average")
    parser.add_argument(
        "--contact", metavar="TEXT", help="told to every node in the user agent: a mail address, a page"
    )
    parser.add_argument("--opt-out", type=Path, metavar="FILE", help="addresses and ranges that are left alone")
    parser.add_argument("--allow-unroutable", action="store_true", help="private addresses too, for test networks")
    parser.add_argument("--json", action="store_true", help="events as lines of JSON")
    return parser
