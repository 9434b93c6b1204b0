"""Fixtures for every test."""

import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.data import DATA_DIR

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A script's background jobs ignore Ctrl-C, and so would every process that a test starts and interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples every time, however busy the machine is; pytest --hypothesis-profile=others looks for others.
settings.register_profile("others", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("others"), derandomize=True)
settings.load_profile("same")

LONG_SECONDS = 3600
"""How long a test marked ``long`` may take."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("long") is not None:
            item.add_marker(pytest.mark.timeout(LONG_SECONDS))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The shared test data (``CCNODE_TEST_DATA``); tests that need it skip where it is absent."""
    if not DATA_DIR.is_dir():
        pytest.skip(f"no test data at {DATA_DIR}; set CCNODE_TEST_DATA")
    return DATA_DIR
