"""Every network test runs on gevent's hub, unpatched, and ends within half a minute."""

import gc
from collections.abc import Iterator

import gevent
import pytest


@pytest.fixture(autouse=True)
def _limit() -> Iterator[None]:
    with gevent.Timeout(30):
        yield


@pytest.fixture
def greenlet_count():
    """How many live greenlets there are."""

    def count() -> int:
        gc.collect()
        return sum(isinstance(thing, gevent.Greenlet) and not thing.dead for thing in gc.get_objects())

    return count
