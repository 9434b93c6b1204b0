"""Which census file a command means, and how what is made of it is written."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TextIO

from ccnode.errors import ConfigError

SUFFIX: Final = ".sqlite"
MONITOR: Final = "-monitor"
"""Behind the chain's name in files that are no census, but what ``tools/monitor.py`` recorded."""
DEFAULT_DIRECTORY: Final = Path("census")


def add_file_options(parser: argparse.ArgumentParser) -> None:
    """The options that `census_file` reads."""
    parser.add_argument(
        "--out", type=Path, default=DEFAULT_DIRECTORY, metavar="DIR", help="where the census is (census)"
    )
    parser.add_argument("--chain", metavar="NAME", help="of which chain, where there are several")
    parser.add_argument("--file", type=Path, metavar="FILE", help="a census file, wherever it is")


def census_file(arguments: argparse.Namespace) -> Path:
    """The file that the options name; `ConfigError` where they leave a choice. It need not exist."""
    if arguments.file is not None:
        return Path(arguments.file)
    if arguments.chain is not None:
        return Path(arguments.out / f"{arguments.chain}{SUFFIX}")
    found = sorted(path for path in arguments.out.glob(f"*{SUFFIX}") if not path.stem.endswith(MONITOR))
    if len(found) != 1:
        names = ", ".join(path.stem for path in found)
        raise ConfigError(
            f"{arguments.out} has several census files; choose one by --chain: {names}"
            if found
            else f"there is no census in {arguments.out}; name another directory by --out"
        )
    return Path(found[0])


@contextmanager
def published(path: Path) -> Iterator[TextIO]:
    """A text file that appears under its name when it is whole, and not at all if writing it fails."""
    draft = path.with_name(path.name + ".new")
    try:
        with draft.open("w", encoding="utf-8", newline="") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        os.replace(draft, path)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
