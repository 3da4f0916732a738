"""Statistics of all columns through `detect`: rows kept in the profile, asked for by name, never a crash."""

from __future__ import annotations

import numpy as np

from prodml_magics.stats.drift import detect, from_arrow, prepare, to_arrow
from prodml_magics.stats.drift.joint import JOINT


def _frame(rng: np.random.Generator, rows: int, broken: bool) -> dict[str, np.ndarray]:
    shared = rng.normal(size=rows)
    a, b = shared + 0.2 * rng.normal(size=rows), shared + 0.2 * rng.normal(size=rows)
    return {
        "a": a,
        "b": rng.permutation(b) * 1.0 if broken else b,
        "when": np.datetime64("2026-01-01") + np.arange(rows) % 90,
        "c": rng.choice(["x", "y"], rows),
    }


def test_a_broken_correlation_is_found_from_a_stored_profile() -> None:
    rng = np.random.default_rng(0)
    reference = from_arrow(to_arrow(prepare(_frame(rng, 5_000, False))))
    assert reference.rows is not None
    assert (reference.rows.names, reference.rows.values.shape) == (("a", "b", "when"), (2_000, 3))
    calm = detect(reference, _frame(rng, 3_000, False), methods=list(JOINT))
    assert [finding.drifted for finding in calm.joint] == [False] * len(JOINT)
    broken = detect(reference, _frame(rng, 3_000, True), methods=["pca", "ks", "mmd"])
    assert [(finding.method, finding.drifted) for finding in broken.joint] == [("pca", True), ("mmd", True)]
    assert broken.drifted == []
    assert detect(reference, _frame(rng, 500, True)).joint == ()


def test_columns_that_make_no_rows_are_a_reason() -> None:
    reference = prepare({"a": np.arange(100.0), "b": np.arange(100.0)})
    (uneven,) = detect(reference, {"a": np.arange(50.0), "b": np.arange(60.0)}, methods=["mmd"]).joint
    assert (uneven.drifted, "unequal lengths" in uneven.reason) == (None, True)
    (none,) = detect(prepare({"c": ["x"] * 50}), {"c": ["x"] * 50}, methods=["classifier"]).joint
    assert "no rows of numeric columns" in none.reason


def test_outputs_of_a_model_and_missing_values_do_not_stop_it() -> None:
    rng = np.random.default_rng(1)
    reference = prepare({"a": rng.normal(size=500), "p": rng.random(500)}, extras={"outputs": ["p"]})
    now = rng.normal(size=300)
    now[::3] = np.nan
    (found,) = detect(reference, {"a": now, "p": rng.random(100)}, methods=["energy_joint"]).joint
    assert (found.columns, found.drifted) == (1, False)
