"""A shadow beside the live version: only rows that both have answered, held to a slow loop."""

from __future__ import annotations

from statistics import mean, median
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodml_magics.contract.schema import Contract, Tensor
from prodml_magics.monitoring.shadow import compare_shadow, score_column, shadow_drawing

CLASSIFIER = Contract(
    task="classification",
    columns=(),
    inputs=(),
    outputs=(Tensor(name="label", datatype="BYTES", shape=(-1,)), Tensor(name="probabilities", datatype="FP32", shape=(-1, 2))),
    classes=("no", "yes"),
)
REGRESSOR = Contract(task="regression", columns=(), inputs=(), outputs=(Tensor(name="prediction", datatype="FP32", shape=(-1,)),))
SCHEMA = {
    "writer": pl.String,
    "sequence": pl.Int64,
    "mirrors": pl.Int64,
    "arm": pl.String,
    "version": pl.Int64,
    "status": pl.Int64,
    "run_ms": pl.Float64,
    "outputs": pl.Struct({"label": pl.String, "probability_yes": pl.Float64}),
}


def row(
    arm: str, version: int, sequence: int, score: float, *, writer: str = "w", mirrors: int | None = None, **changes: Any
) -> dict[str, Any]:
    outputs = {"label": "yes" if score > 0.5 else "no", "probability_yes": score}
    return {
        "writer": writer, "sequence": sequence, "mirrors": mirrors, "arm": arm, "version": version, "status": 200,
        "run_ms": 1.0 + sequence, "outputs": outputs, **changes,
    }  # fmt: skip


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA)


def compare(rows: list[dict[str, Any]], **changes: Any) -> Any:
    return compare_shadow(frame(rows), **{"model": "shop", "live": 1, "shadow": 2, "contract": CLASSIFIER, **changes})


scores = st.floats(0, 1)


@given(st.lists(st.tuples(scores, scores | st.none(), st.sampled_from(["a", "b"])), max_size=30))
def test_pairs_agreement_and_differences_are_those_of_a_slow_loop(taken: list[tuple[float, float | None, str]]) -> None:
    rows, pairs = [], []
    for sequence, (live, mirrored, writer) in enumerate(taken):
        rows.append(row("live", 1, sequence, live, writer=writer))
        if mirrored is not None:
            rows.append(row("shadow", 2, 1000 + sequence, mirrored, writer=writer, mirrors=sequence))
            pairs.append((live, mirrored, sequence))
    found = compare(rows[::-1])
    assert found.pairs == len(pairs)
    if not pairs:
        assert (found.agreement, found.mean_difference, found.max_difference, found.live_run_ms) == (None, None, None, None)
        return
    assert found.agreement == pytest.approx(mean((a > 0.5) == (b > 0.5) for a, b, _ in pairs))
    assert found.mean_difference == pytest.approx(mean(b - a for a, b, _ in pairs), abs=1e-12)
    assert found.max_difference == pytest.approx(max(abs(b - a) for a, b, _ in pairs))
    assert found.live_run_ms == pytest.approx(median(1.0 + sequence for _, _, sequence in pairs))


def test_rows_of_other_writers_versions_arms_and_statuses_are_no_pairs() -> None:
    rows = [
        row("live", 1, 1, 0.9, writer="a"),
        row("shadow", 2, 7, 0.1, writer="b", mirrors=1),
        row("live", 1, 2, 0.9),
        row("shadow", 3, 8, 0.1, mirrors=2),
        row("live", 4, 3, 0.9),
        row("shadow", 2, 9, 0.1, mirrors=3),
        row("direct", 1, 4, 0.9),
        row("shadow", 2, 10, 0.1, mirrors=4),
        row("live", 1, 5, 0.9),
        row("shadow", 2, 11, 0.1, mirrors=5, status=500),
        row("live", 1, 6, 0.9),
        row("shadow", 2, 12, 0.8, mirrors=6),
    ]
    found = compare(rows)
    assert (found.pairs, found.agreement, found.shadow_errors, found.live_errors) == (1, 1.0, 1, 0)
    assert found.mean_difference == pytest.approx(-0.1)


def test_failures_are_counted_on_the_side_that_failed() -> None:
    rows = [row("live", 1, number, 0.5, status=503) for number in range(3)]
    rows += [row("shadow", 2, 10 + number, 0.5, mirrors=number, status=500) for number in range(2)]
    rows += [row("shadow", 3, 20, 0.5, mirrors=0, status=500)]
    found = compare(rows, dropped=7)
    assert (found.pairs, found.live_errors, found.shadow_errors, found.dropped) == (0, 3, 2, 7)


def test_nothing_served_is_no_comparison() -> None:
    found = compare([])
    assert (found.pairs, found.agreement, found.mean_difference) == (0, None, None)
    assert shadow_drawing(frame([]), found, CLASSIFIER) is None


def test_a_regressor_has_differences_and_no_agreement() -> None:
    struct = pl.Struct({"prediction": pl.Float64})
    rows = [row("live", 1, n, 0, outputs={"prediction": float(n)}) for n in range(4)]
    rows += [row("shadow", 2, 10 + n, 0, mirrors=n, outputs={"prediction": float(n) + n}) for n in range(4)]
    found = compare_shadow(
        pl.DataFrame(rows, schema=SCHEMA | {"outputs": struct}), model="m", live=1, shadow=2, contract=REGRESSOR
    )
    assert (found.pairs, found.agreement, found.mean_difference, found.max_difference) == (4, None, 1.5, 3.0)


def test_the_score_is_the_prediction_or_the_probability_of_the_last_class() -> None:
    assert score_column(CLASSIFIER, ["label", "probability_no", "probability_yes"]) == "probability_yes"
    assert score_column(REGRESSOR, ["prediction"]) == "prediction"
    assert score_column(CLASSIFIER, ["label"]) is None
    assert score_column(REGRESSOR, ["brightness_0"]) is None


def test_a_drawing_shows_the_pairs_of_the_comparison_and_no_others() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for number, (live, shadow) in enumerate(rng.random((3000, 2))):
        version = 1 if number < 2500 else 4
        rows += [row("live", version, number, live), row("shadow", 2, 10_000 + number, shadow, mirrors=number)]
    found = compare(rows)
    drawing = shadow_drawing(frame(rows), found, CLASSIFIER, most=100)
    assert drawing is not None and found.pairs == drawing["rows"] == 2500
    assert len(drawing["pairs"]) == 100
    answered = {(each["outputs"]["probability_yes"]) for each in rows if each["version"] == 1}
    assert {live for live, _ in drawing["pairs"]} <= answered
    assert drawing["score"] == "probability of yes"
    assert drawing["latency_ms"]["live"]["p50"] == pytest.approx(found.live_run_ms, rel=0.01)
