"""A round of the crawler's real parts with little patience: ``python -m tests.support.hasty_crawl OPTIONS``.

The options are those of ``crawl.py crawl``. Nothing is kept in a file: the outcomes, and why collections of addresses
ended, are printed as JSON by the addresses' keys.
"""

from ccnode.cli import patch

patch()

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from ccnode.crawler import conversation
from ccnode.crawler.census import Census, Limits
from ccnode.crawler.options import parse
from ccnode.crawler.outcome import Visit
from ccnode.crawler.parts import Parts
from ccnode.crawler.visit import Patience, Visitor
from ccnode.rng import system_rng
from ccnode.wire.address import Network
from ccnode.wire.addresses import PackedEntry, pack_address

PATIENCE: Final[Mapping[Network, Patience]] = dict.fromkeys(Network, Patience(2.0, 4.0))
OLD_SECONDS: Final = 10.0
QUICK_SECONDS: Final = 5.0


class Notes:
    """A sink that keeps all outcomes."""

    def __init__(self) -> None:
        self.findings: dict[str, tuple[str, str]] = {}

    def learned(self, source: bytes, entries: Sequence[PackedEntry]) -> None:
        """What matters of it becomes a visit."""

    def record(self, visits: Sequence[Visit]) -> None:
        for visit in visits:
            key = pack_address(visit.address).hex()
            assert key not in self.findings, f"{visit.address} has two outcomes"
            self.findings[key] = visit.outcome.value, visit.collected.value


def main() -> None:
    options, config = parse("crawl", sys.argv[1:], "")
    conversation.QUICK_SECONDS = QUICK_SECONDS  # type: ignore[misc]
    parts, notes = Parts(options, config), Notes()
    visitor = Visitor(
        parts.params,
        parts.routes,
        parts.clock,
        system_rng(),
        user_agent=parts.user_agent,
        patience=PATIENCE,
        old_seconds=OLD_SECONDS,
    )
    frontier = parts.frontier()
    frontier.seed(parts.resolve(options.seeds))
    Census(frontier, visitor, notes, Limits(), parts.clock).run()
    print(json.dumps(notes.findings))


if __name__ == "__main__":
    main()
