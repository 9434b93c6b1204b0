"""Fixtures for every test."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.data import DATA_DIR


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The shared test data (``CCNODE_TEST_DATA``); tests that need it skip where it is absent."""
    if not DATA_DIR.is_dir():
        pytest.skip(f"no test data at {DATA_DIR}; set CCNODE_TEST_DATA")
    return DATA_DIR
