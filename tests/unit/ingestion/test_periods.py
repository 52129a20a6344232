from __future__ import annotations

import pytest

from cl.ingestion.periods import split_into_periods


@pytest.mark.parametrize(
    ("period", "names"),
    [
        ("year", ["2015", "2014", "2015"]),
        ("quarter", ["2015-Q1", "2014-Q4", "2015-Q3"]),
        ("month", ["2015-03", "2014-12", "2015-07"]),
        ("week", ["2015-W10", "2015-W01", "2015-W27"]),  # the last days of 2014 are in the first ISO week of 2015
        ("day", ["2015-03-07", "2014-12-29", "2015-07-01"]),
    ],
)
def test_a_date_lies_in_its_period(period, names) -> None:
    assert split_into_periods(["2015-03-07", "2014-12-29T23:00:00", "2015-07-01T01:00:00+01:00"], period) == names


@pytest.mark.parametrize(
    "word",
    ["now", "today", "NOW", " today", "noon", "midnight", "tomorrow", "monday", "12:30", "T12:30:00", "5", "mar", "q1"],
)
def test_what_a_reader_would_complete_with_the_present_is_no_date(word) -> None:
    assert split_into_periods([word, "2015-03-07"], "day") == [None, "2015-03-07"]


def test_what_is_no_date_lies_in_no_period() -> None:
    assert split_into_periods([None, "", "soon", "2015-13-01", "2015"], "month") == [None, None, None, None, "2015-01"]
