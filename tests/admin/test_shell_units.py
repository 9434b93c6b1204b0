"""Numbers as people read them."""

import pytest

from ccnode.admin.shell import units


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (99_950, "100 kB"),
        (9_994, "9.99 kB"),
        (12_345_678, "12.3 MB"),
        (None, "-"),
    ],
)
def test_size(count: float | None, text: str) -> None:
    assert units.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.9, "0s"),
        (59, "59s"),
        (60, "1m00s"),
        (3599, "59m59s"),
        (3661, "1h01m"),
        (86_400, "1d00h"),
        (864_000, "10d"),
        (-90, "-1m30s"),
        (None, "-"),
    ],
)
def test_span(seconds: float | None, text: str) -> None:
    assert units.span(seconds) == text


def test_age_of_what_never_was() -> None:
    assert units.age(0, 1000.0) == "-"
    assert units.age(940, 1000.0) == "1m00s"
    assert units.age(1010, 1000.0) == "0s"


@pytest.mark.parametrize(("seconds", "text"), [(0.0004, "0.4 ms"), (0.085, "85 ms"), (1.23, "1.2 s"), (None, "-")])
def test_milliseconds(seconds: float | None, text: str) -> None:
    assert units.milliseconds(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("15m", 900), ("1h30m", 5400), ("1d", 86_400), ("2w", 1_209_600), ("0", 0)],
)
def test_parse_span(text: str, seconds: int) -> None:
    assert units.parse_span(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "2x", "1h30", "-5", "1.5h"])
def test_what_is_no_span(text: str) -> None:
    with pytest.raises(ValueError, match=r"time span|without a unit"):
        units.parse_span(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.25, "0.25"),
        (1.18289953, "1.18"),
        (999.6, "1 k"),
        (126.4e12, "126 T"),
        (1e30, "1e+06 Y"),
        (None, "-"),
    ],
)
def test_scaled(value: float | None, text: str) -> None:
    assert units.scaled(value) == text


def test_scaled_with_a_unit() -> None:
    assert units.scaled(6.02e20, "H/s") == "602 EH/s"
    assert units.scaled(2, "H/s") == "2 H/s"


def test_moments_are_in_utc() -> None:
    assert units.moment(1231006505) == "2009-01-03 18:15:05"
    assert units.moment(None) == "-"
