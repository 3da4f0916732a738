from __future__ import annotations

import math

import pytest

from prodml_magics.views.text import formatted, text_table


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((None, "–"), (math.nan, "–"), (True, "yes"), (False, "no"), (0, "0"), (1234567, "1,234,567"), (0.123456, "0.1235")),
        *((1.0, "1"), (-2500.4, "-2,500"), (1e-12, "1e-12"), (-math.inf, "-∞"), ("two\nlines", "two lines")),
    ],
)
def test_values_are_short(value: object, text: str) -> None:
    assert formatted(value) == text


def test_numbers_are_set_right_and_words_left() -> None:
    assert text_table(["name", "n"], [["a", 5], ["bcd", 1000]]).splitlines() == [
        "name      n",
        "────  ─────",
        "a         5",
        "bcd   1,000",
    ]


def test_rows_beyond_the_limit_are_counted() -> None:
    lines = text_table(["n"], [[i] for i in range(32)], limit=20).splitlines()
    assert (len(lines), lines[-1]) == (23, "… 12 more rows")
    assert text_table(["n"], [[1], [2]], limit=1).endswith("… 1 more row")


def test_a_table_without_rows_is_its_header() -> None:
    assert text_table(["a", "bc"], []) == "a  bc\n─  ──"


def test_a_long_text_does_not_break_the_table() -> None:
    assert max(map(len, text_table(["reason"], [["x" * 500]]).splitlines())) == 60
