"""Columns of vectors: one verdict over all of their numbers, however they come."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.signal import lfilter
from scipy.spatial.distance import cdist

from prodml_magics.stats.drift import column_detail, detect, from_arrow, prepare, to_arrow
from prodml_magics.stats.drift.joint.movement import runs, variability_of_vectors
from prodml_magics.stats.drift.reference import EmbeddingColumn

RNG = np.random.default_rng(0)
BEFORE, SAME, MOVED = RNG.normal(size=(300, 8)), RNG.normal(size=(250, 8)), RNG.normal(0.6, 1, (250, 8))

FORMS: dict[str, Any] = {
    "an array": lambda rows: {"e": rows},
    "lists": lambda rows: {"e": rows.tolist()},
    "arrays as objects": lambda rows: pd.DataFrame({"e": list(rows)}),
    "lists of polars": lambda rows: pl.DataFrame({"e": rows.tolist()}),
    "arrays of polars": lambda rows: pl.DataFrame({"e": rows}),
}


@pytest.mark.parametrize("form", FORMS)
def test_vectors_are_one_column_in_every_form(form: str) -> None:
    reference = prepare(FORMS[form](BEFORE))
    calm, found = detect(reference, FORMS[form](SAME)), detect(reference, FORMS[form](MOVED))
    assert (calm.kind, calm.drifted, found.drifted) == (("embedding",), [], ["e"])
    assert found.reason[0].startswith("maximum mean discrepancy 0.")
    assert found.sentence[0].startswith("`e` moved by 0.")
    assert found.effect[0] == detect(prepare({"e": BEFORE}), {"e": MOVED}).effect[0]


def test_the_effect_is_the_discrepancy_of_a_loop() -> None:
    found = detect(prepare({"e": BEFORE[:50]}), {"e": MOVED[:45]})
    pooled = np.concatenate([BEFORE[:50], MOVED[:45]])
    width = np.median(cdist(pooled, pooled)[np.triu_indices(95, 1)])
    k = np.exp(-(cdist(pooled, pooled) ** 2) / (2 * width**2))
    first = sum(k[i, j] for i in range(50) for j in range(50) if i != j) / (50 * 49)
    second = sum(k[50 + i, 50 + j] for i in range(45) for j in range(45) if i != j) / (45 * 44)
    assert found.effect[0] == pytest.approx(math.sqrt(first + second - 2 * k[:50, 50:].mean()), abs=1e-4)
    assert 0 < found.effect_low[0] < found.effect[0]
    assert 0 < found.p_value[0] < 1e-6


def test_another_statistic_decides_where_it_is_named() -> None:
    found = detect(prepare({"e": BEFORE, "x": BEFORE[:, 0]}), {"e": MOVED, "x": SAME[:, 0]}, methods=["psi", "classifier"])
    assert found.drifted == ["e"]
    assert found.reason[0].startswith("held-out AUC of a classifier of then and now 0.")
    assert [finding.columns for finding in found.joint] == [1]


def test_rows_without_a_whole_vector_are_missing() -> None:
    gaps = SAME.copy()
    gaps[:100, 3] = np.nan
    for now in (gaps, [None if np.isnan(row).any() else row.tolist() for row in gaps]):
        found = detect(prepare({"e": BEFORE}), {"e": now})
        assert (found.missing_current[0], found.drifted) == (0.4, ["e"])
        assert found.reason[0].startswith("missing share rose from 0 % to 40 %")


@pytest.mark.parametrize(
    ("before", "now", "reason"),
    [
        (BEFORE, SAME[:12], "12 rows are too few to tell; 40 are needed"),
        (BEFORE[:0], SAME, "reference: no rows, nothing to compare"),
        (BEFORE, SAME[:0], "current rows: no rows, nothing to compare"),
        (np.full((50, 3), np.nan), np.full((50, 3), np.nan), "every value of the reference is missing, nothing to compare"),
    ],
)
def test_what_cannot_be_told_is_undecided_with_the_reason(before: np.ndarray, now: np.ndarray, reason: str) -> None:
    found = detect(prepare({"e": before}), {"e": now})
    assert (found.undecided, found.reason) == (["e"], (reason,))
    assert found.frame["drifted"].to_list() == [None]


def test_a_number_that_never_varied_counts_when_it_moves() -> None:
    before, now = (np.column_stack([side, np.full(len(side), at)]) for side, at in ((BEFORE, 0.0), (SAME, 3.0)))
    assert detect(prepare({"e": before}), {"e": now}).drifted == ["e"]
    found = detect(prepare({"e": np.ones((90, 3))}), {"e": np.zeros((80, 3))})
    assert (found.drifted, found.reason[0]) == (
        ["e"],
        f"maximum mean discrepancy {found.effect[0]:.2f}: the vectors of the reference were all alike",
    )
    assert detect(prepare({"e": np.ones((90, 3))}), {"e": np.ones((80, 3))}).effect[0] == 0.0


def test_huge_and_tiny_vectors_are_no_crash() -> None:
    for size in (1e37, 1e-37):
        assert detect(prepare({"e": BEFORE * size}), {"e": MOVED * size}).drifted == ["e"]


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (SAME[:, :3], "held vectors of 8 numbers in the reference and of 3 now"),
        (SAME[:, 0], "held vectors in the reference and does not now; give one vector per row"),
        ([["x"] * 8, None], "held vectors in the reference and does not now; give one vector per row"),
        ([[1.0] * 8, None, ["x"] * 8], "holds lists that are not all of numbers"),
    ],
)
def test_other_vectors_are_told(now: Any, reason: str) -> None:
    found = detect(prepare({"e": BEFORE}), {"e": now})
    assert (found.drifted, found.changed) == (["e"], ("e",))
    assert found.reason[0].startswith(reason)


def test_lists_of_several_lengths_are_levels() -> None:
    found = detect(prepare({"e": [[1.0], [1.0, 2.0]] * 30}), {"e": [[1.0], [1.0, 2.0]] * 20})
    assert (found.kind, found.drifted) == (("categorical",), [])


def test_a_profile_keeps_some_rows_and_none_of_a_masked_column() -> None:
    many = np.random.default_rng(1).normal(size=(5_000, 3))
    reference = prepare({"e": many, "secret": many}, masked=["secret"])
    again = from_arrow(to_arrow(reference))
    for name, kept in (("e", 2_000), ("secret", 0)):
        column, other = reference.columns[name], again.columns[name]
        assert isinstance(column, EmbeddingColumn)
        assert isinstance(other, EmbeddingColumn)
        assert column.values.shape == (kept, 3)
        assert other.values.tolist() == column.values.tolist()
    found = detect(again, {"e": many + 1, "secret": many})
    assert (found.drifted, found.undecided) == (["e"], ["secret"])
    assert found.n_reference.tolist() == [5_000, 5_000]


def test_they_are_drawn_by_their_distance_from_the_references_mean() -> None:
    detail = column_detail(prepare({"e": BEFORE}), MOVED, "e")
    assert detail.note.startswith("distance of the vectors from the reference's mean")
    assert sum(detail.current) == pytest.approx(1)
    distances = np.linalg.norm(MOVED - BEFORE.mean(axis=0), axis=1)
    assert detail.current_upto == pytest.approx([(distances <= point + 1e-6).mean() for point in detail.points], abs=1 / 250)
    assert set(column_detail(prepare({"e": BEFORE}), SAME[:0], "e").current) == {0.0}


def test_among_many_columns_one_of_vectors_still_counts() -> None:
    others = {f"x{i}": np.random.default_rng(i).normal(size=300) for i in range(300)}
    found = detect(prepare({**others, "e": BEFORE}), {**{name: values[:250] for name, values in others.items()}, "e": MOVED})
    assert found.drifted == ["e"]


def test_without_drift_vectors_hardly_ever_alarm() -> None:
    rng = np.random.default_rng(2)
    alarms = 0
    for _ in range(60):
        alarms += bool(detect(prepare({"e": rng.normal(size=(60, 4))}), {"e": rng.normal(size=(50, 4))}).drifted)
    assert alarms <= 0.05 * 60 + 3 * math.sqrt(0.05 * 0.95 * 60)


# ── what the reference moves by itself ─────────────────────────────────────────────────────────────────────────────


def _remembering(rng: np.random.Generator, rows: int, phi: float) -> np.ndarray:
    return lfilter([1], [1, -phi], rng.normal(size=(rows + 300, 6)), axis=0)[300:] * math.sqrt(1 - phi**2)


def test_movement_of_chunks_is_that_of_a_loop() -> None:
    rows = _remembering(np.random.default_rng(3), 400, 0.5).astype("f4")
    width = np.median(cdist(rows, rows)[np.triu_indices(400, 1)])
    kernel = np.exp(-(cdist(rows, rows) ** 2) / (2 * width**2))
    means = []
    for chunks in (20, 5):
        squares, chances = [], []
        for chunk in np.array_split(np.arange(400), chunks):
            rest = np.setdiff1d(np.arange(400), chunk)
            inside, outside, between = kernel[np.ix_(chunk, chunk)], kernel[np.ix_(rest, rest)], kernel[np.ix_(chunk, rest)]
            squares.append(inside.mean() + outside.mean() - 2 * between.mean())
            chances.append((1 - kernel[np.triu_indices(400, 1)].mean()) * (1 / len(chunk) + 1 / len(rest)))
        means.append((np.mean(squares), np.mean(chances)))
    (short, short_chance), (long, long_chance) = means
    inflation = (short - long) / (short_chance - long_chance)
    found = variability_of_vectors(rows)
    assert inflation > 2
    assert found.inflation == pytest.approx(inflation, rel=0.01)
    assert found.movement == pytest.approx(math.sqrt(max(0.0, long - inflation * long_chance)), abs=0.01)


def test_vectors_of_no_numbers_or_all_alike_have_no_movement() -> None:
    for rows in (np.zeros((1_000, 0), "f4"), np.ones((1_000, 2), "f4")):
        assert variability_of_vectors(rows) == (0.0, 1.0)


def test_runs_of_neighbours_are_spread_over_all_rows() -> None:
    assert runs(300).tolist() == list(range(300))
    places = runs(50_000)
    assert (len(places), places[0], places[-1]) == (2_000, 0, 49_999)
    assert (np.diff(places) == 1).sum() == 1_980


def test_vectors_bring_their_own_tolerance_and_keep_it_in_the_profile() -> None:
    rng = np.random.default_rng(4)
    moving = rng.normal(size=(4_000, 5)) + np.linspace(0, 1, 4_000)[:, None]
    reference = from_arrow(to_arrow(prepare({"moving": moving, "calm": rng.normal(size=(4_000, 5))}, calibrate=True)))
    found = detect(reference, {"moving": moving[-1_000:], "calm": rng.normal(0.3, 1, (1_000, 5))})
    assert (found.drifted, found.calibrated) == (["calm"], (True, True))
    assert found.tolerance.tolist() == [0.25, pytest.approx(0.05, abs=0.02)]
    assert found.reason[1].endswith("by 2,000 of 4,000 rows of the reference and all 1,000 now")
    assert detect(prepare({"moving": moving[:500]}), {"moving": moving[-500:]}).drifted == ["moving"]
    part = {"moving": moving[:100], "calm": moving[:100]}
    assert detect(reference, part, methods=["energy_joint"]).calibrated == (False, False)


def test_vectors_that_remember_those_before_them_are_no_drift() -> None:
    rng = np.random.default_rng(5)
    alarms, blind = 0, 0
    for _ in range(10):
        rows = _remembering(rng, 2_000, 0.8)
        calibrated = prepare({"e": rows}, calibrate=True)
        for _ in range(4):
            alarms += bool(detect(calibrated, {"e": _remembering(rng, 500, 0.8)}).drifted)
        blind += bool(detect(prepare({"e": rows[:600]}), {"e": _remembering(rng, 500, 0.8)}).drifted)
    assert alarms <= 0.05 * 40 + 3 * math.sqrt(0.05 * 0.95 * 40)
    assert blind >= 4
    assert detect(calibrated, {"e": _remembering(rng, 500, 0.8) + 1}).drifted == ["e"]
    few = detect(calibrated, {"e": _remembering(rng, 80, 0.8)})
    assert few.undecided == ["e"]
    assert "rows are too few to tell; 40 are needed" in few.reason[0]


def test_missing_vectors_are_calibrated_as_well() -> None:
    rng = np.random.default_rng(6)
    rows: list[Any] = [
        None if i % 2_000 < 400 and i % 2 else vector.tolist() for i, vector in enumerate(rng.normal(size=(4_000, 3)))
    ]
    for values in (rows, np.array([[np.nan] * 3 if row is None else row for row in rows])):
        found = prepare({"e": values}, calibrate=True).columns["e"].calibration
        assert found is not None
        assert found.missing.inflation > 2 or found.missing.movement > 0.02
