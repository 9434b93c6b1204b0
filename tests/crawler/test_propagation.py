"""Who announced what how long after the first."""

import random
import re
import sqlite3
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ccnode.crawler.propagation import REMEMBERED, SHARE_OF_ONE, News, Propagation, percentiles
from ccnode.crawler.sightings import Listened, SightingStore, summarize
from tests.support.data import ROOT

A, B, C, D = 1, 2, 3, 4
BLOCK, OTHER = b"\1" * 32, b"\2" * 32


def watching(*peers: int, settle: float = 60.0, capacity: int = 100) -> Propagation:
    found = Propagation(settle, capacity)
    for peer in peers:
        found.attached(peer)
    return found


def the_one(propagation: Propagation, now: float = 1e9) -> News:
    (news,) = propagation.settled(now)
    return news


def test_delays_are_counted_from_the_first_announcement() -> None:
    spread = watching(A, B, C)
    assert spread.seen(B, BLOCK, 10.0, "headers")
    assert not spread.seen(A, BLOCK, 10.5, "inv")
    assert not spread.seen(A, BLOCK, 12.0, "headers")
    news = the_one(spread)
    assert [(s.peer, s.delay, s.how) for s in news.sightings.values()] == [(B, 0.0, "headers"), (A, 0.5, "inv")]
    assert news.percentiles() == (0.5, None, None)
    assert news.share == 2 / 3


def test_who_comes_later_does_not_count() -> None:
    spread = watching(A, B)
    spread.seen(A, BLOCK, 1.0, "inv")
    spread.attached(C)
    spread.seen(C, BLOCK, 2.0, "inv")
    assert the_one(spread).delays() == [0.0]


def test_who_leaves_has_not_announced() -> None:
    spread = watching(A, B)
    spread.seen(A, BLOCK, 1.0, "inv")
    spread.detached(B)
    assert spread.peers() == {A, B}
    assert the_one(spread).listening == {A, B}
    assert spread.peers() == {A}


def test_strangers_say_nothing() -> None:
    spread = watching(A)
    assert not spread.seen(B, BLOCK, 1.0, "inv")
    assert spread.settled(1e9) == []


def test_news_is_over_once() -> None:
    spread = watching(A, settle=60.0)
    spread.seen(A, BLOCK, 1.0, "inv")
    spread.seen(A, OTHER, 30.0, "inv")
    assert spread.settled(60.9) == []
    assert [news.hash for news in spread.settled(61.0)] == [BLOCK]
    assert spread.settled(61.0) == []
    assert not spread.seen(A, BLOCK, 62.0, "inv")
    assert [news.hash for news in spread.settled(1e9)] == [OTHER]


def test_an_inventor_does_not_push_out_what_is_real() -> None:
    spread = watching(A, B, capacity=100)
    spread.seen(B, BLOCK, 0.0, "inv")
    for i in range(10_000):
        spread.seen(A, i.to_bytes(32, "big"), 1.0, "inv")
    found = spread.settled(1e9)
    assert len(found) == 100 * SHARE_OF_ONE + 1
    assert found[0].hash == BLOCK


def test_memory_is_bounded() -> None:
    spread = watching(*range(10), capacity=50)
    for i in range(REMEMBERED + 5_000):
        spread.seen(i % 10, i.to_bytes(32, "big"), float(i), "inv")
        if not i % 1000:
            spread.settled(float(i))
    assert len(spread._open) <= 50
    assert len(spread._over) <= REMEMBERED


@given(st.lists(st.floats(0, 100), max_size=50), st.integers(0, 50), st.integers(1, 100))
def test_percentiles_count_the_missing_as_last(delays: list[float], missing: int, percent: int) -> None:
    whole = len(delays) + missing
    if not whole:
        return
    everything = sorted([*delays, *[float("inf")] * missing])
    (found,) = percentiles(sorted(delays), whole, [percent])
    value = float("inf") if found is None else found
    at_most = sum(each <= value for each in everything)
    below = sum(each < value for each in everything)
    assert at_most * 100 >= whole * percent > below * 100


def test_the_file_tells_how_blocks_spread(tmp_path: Path) -> None:
    path = tmp_path / "monitor.sqlite"
    store = SightingStore(path, "main")
    rng = random.Random(1)
    names = {A: ("ipv4", "/Satoshi:29.0.0/"), B: ("ipv4", "/Satoshi:29.0.0/"), C: ("onion", "/Satoshi:28.0.0/")}
    spread = watching(*names)
    for peer, (network, agent) in names.items():
        store.attached(peer, Listened(f"node-{peer}", network, agent, 0.0))
    for i in range(5):
        first = 100.0 * i
        item = rng.randbytes(32)
        spread.seen(A, item, first, "headers")
        spread.seen(B, item, first + 1, "inv")
        spread.seen(C, item, first + 5, "inv")
    spread.seen(C, rng.randbytes(32), 1000.0, "inv")  # of which nobody else knows
    spread.detached(C)
    store.detached(C, 1100.0)
    found = [(news, 1_700_000_000.0 + news.first) for news in spread.settled(1e9)]
    store.record(found, found[:2], spread.peers())
    store.close()
    (query,) = re.findall(r"```sqlite\n(.*?)```", (ROOT / "docs/crawler.md").read_text(), re.DOTALL)
    with sqlite3.connect(path) as connection:
        assert [row[1:] for row in connection.execute(query)][1:] == [(3, 3, 5.0)] * 5
    connection.close()
    summary = summarize(path)
    assert (len(summary.blocks), summary.ignored, summary.transactions) == (5, 1, 2)
    newest = summary.blocks[0]
    assert (newest.first_seen, newest.first, newest.announced) == (1_700_000_400.0, "node-1", 3)
    assert newest.percentiles == (1.0, 5.0, 5.0)
    assert [(group.name, group.peers, group.percentiles) for group in summary.networks] == [
        ("ipv4", 2, (0.0, 1.0, 1.0)),
        ("onion", 1, (5.0, 5.0, 5.0)),
    ]
    assert [(group.name, group.announced) for group in summary.programs] == [
        ("Bitcoin Core 29", 10),
        ("Bitcoin Core 28", 5),
    ]
    assert summary.transaction_percentiles == (1.0, 5.0, 5.0)
