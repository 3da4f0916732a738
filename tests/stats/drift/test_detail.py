from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from prodml_magics.errors import InvalidInput
from prodml_magics.stats.drift import column_detail, detect, prepare
from prodml_magics.stats.drift.bucket import grids_of, sketch_column
from prodml_magics.stats.drift.sketch_detail import sketch_detail


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


def test_distribution_functions_are_those_of_all_values() -> None:
    rng = np.random.default_rng(2)
    before, now = np.round(rng.normal(size=700), 1), np.append(rng.normal(1, 2, 500), [np.inf, -np.inf, np.nan])
    reference = prepare({"a": before})
    detail = column_detail(reference, now, "a")
    edges = reference.columns["a"].edges  # type: ignore[union-attr]
    assert detail.bins == tuple(edges.tolist())
    assert (min(detail.points), max(detail.points)) == (min(before.min(), np.sort(now)[1]), max(before.max(), np.sort(now)[-3]))
    before, present = before.astype("f4"), now[~np.isnan(now)]
    for point, of_before, of_now in zip(detail.points, detail.reference_upto, detail.current_upto, strict=True):
        assert of_before == pytest.approx((before <= point).mean())
        assert of_now == pytest.approx((present <= point).mean())
    gaps = np.abs(np.array(detail.reference_upto) - detail.current_upto)
    assert detect(reference, {"a": now}).ks[0] - 0.03 < gaps.max() <= detect(reference, {"a": now}).ks[0] + 1e-12


def test_sketches_tell_the_distribution_functions_at_the_edges_of_the_grid() -> None:
    rng = np.random.default_rng(3)
    reference = prepare({"a": rng.normal(size=5_000)})
    grid, now = grids_of(reference)["a"], rng.normal(1, 1, 3_000).astype("f4")
    detail = sketch_detail(reference, sketch_column("a", grid, now), "a")
    earlier = sketch_detail(reference, sketch_column("a", grid, now), "a", sketch_column("a", grid, now[:900]))
    assert detail.current_upto == earlier.current_upto == tuple((now <= point).mean() for point in detail.points)
    assert earlier.reference_upto == tuple((now[:900] <= point).mean() for point in detail.points)
    values = reference.columns["a"].values  # type: ignore[union-attr]
    assert detail.reference_upto == tuple((values <= point).mean() for point in detail.points)
    assert json.loads(json.dumps(detail.to_dict(), allow_nan=False)) == detail.to_dict()


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
