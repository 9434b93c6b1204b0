"""Chains that are mined once."""

import pytest

from tests.support.fakes import HeaderLine


@pytest.fixture(scope="session")
def long_line() -> HeaderLine:
    """6100 headers, ten minutes apart: three full messages and a rest. Not to be grown: fork it."""
    return HeaderLine().grow(6100)
