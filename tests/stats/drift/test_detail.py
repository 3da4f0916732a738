from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from prodml_magics.errors import InvalidInput
from prodml_magics.stats.drift import column_detail, prepare


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (np.random.default_rng(0).normal(size=900), np.random.default_rng(1).normal(3, 1, 500)),
        ([1.0] * 30, [1.0] * 20),
        (np.arange(12), np.arange(5)),
        ([1.0, np.inf, np.nan], [-np.inf, 2.0, 1e300]),
        ([1e300, -1e300], [0.0, 1.0]),
        ([1.7e308, -1.7e308], [0.0, 1.0]),
        (np.array([2**62 + 1]), [2**62]),
        (["a", "b", None], ["b", "c", ""]),
        ([f"{i}" for i in range(50)], ["0", "new"]),
    ],
)
def test_shares_add_up_to_one_and_survive_json(before: Any, now: Any) -> None:
    detail = column_detail(prepare({"a": before}), now, "a").to_dict()
    assert json.loads(json.dumps(detail, allow_nan=False)) == detail
    assert sum(detail["reference"]) == pytest.approx(1)
    assert sum(detail["current"]) == pytest.approx(1)
    assert (
        len(detail["reference"])
        == len(detail["current"])
        == (len(detail["edges"]) - 1 if detail["edges"] else len(detail["levels"]))
    )


def test_one_outlier_does_not_squeeze_the_grid_and_is_stated() -> None:
    values = np.append(np.random.default_rng(0).normal(size=999), 1e12)
    detail = column_detail(prepare({"a": values}), values, "a")
    assert detail.edges[-1] < 10
    assert detail.note.endswith("rows beyond the grid are in its end bins")


def test_whole_numbers_get_whole_bins() -> None:
    detail = column_detail(prepare({"a": [1, 2, 2, 4]}), [4, 4], "a")
    assert detail.edges == (0.5, 1.5, 2.5, 3.5, 4.5)
    assert (detail.reference, detail.current) == ((0.25, 0.5, 0, 0.25), (0, 0, 0, 1.0))


def test_at_most_twenty_levels_and_the_pooled_rest_are_shown() -> None:
    detail = column_detail(prepare({"a": [f"{i}" for i in range(50)]}), ["new"] * 5, "a")
    assert (len(detail.levels), detail.levels[0], detail.levels[-1]) == (21, "new", "(other)")


def test_an_empty_window_has_no_shares() -> None:
    assert set(column_detail(prepare({"a": [1.0, 2.0]}), [], "a").current) == {0.0}


def test_an_unknown_column_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no column 'b'"):
        column_detail(prepare({"a": [1.0]}), [1.0], "b")
