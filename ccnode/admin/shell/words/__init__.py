"""The shell's own words, one module per subject."""

from functools import cache
from importlib import import_module

_SUBJECTS = (
    "peers",
    "peer",
    "connections",
    "network",
    "addresses",
    "bans",
    "chain",
    "blocks",
    "branches",
    "sync",
    "node",
    "watch",
    "screens",
    "own",
)


@cache
def load_words() -> None:
    """Fill the registry of views."""
    for subject in _SUBJECTS:
        import_module(f"ccnode.admin.shell.words.{subject}")
