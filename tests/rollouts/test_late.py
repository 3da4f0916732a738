"""Labels of a record count when they came, for whom the other plan gave to each arm; the rows' own reading is the oracle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from plans import earlier, plan, rollout, stream

from prodml_magics.actions.labelled import units_of
from prodml_magics.rollouts.evidence import begin
from prodml_magics.rollouts.guards import read_guards
from prodml_magics.rollouts.late import Given, Late, with_late
from prodml_magics.rollouts.means import tally_of
from prodml_magics.rollouts.recorded import Recorded
from prodml_magics.rollouts.whatif import redecide

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
GUARDED = plan(steps=(25.0, 50.0, 100.0), guards=read_guards("accuracy", ""), bake=600.0, min_rows=100)


@pytest.mark.parametrize("seed", range(5))
def test_units_are_those_that_the_rows_themselves_give(seed: int) -> None:
    """Requests of one to three rows, few keys, labels in bunches: as `units_of` reads them from a frame."""
    rng = np.random.default_rng(seed)
    count = 300
    sizes, key = rng.integers(1, 4, count), np.where(rng.random(count) < 0.6, rng.integers(1, 60, count), 0)
    canary, step = rng.random(count) < 0.4, rng.integers(0, 2, count)
    noted = np.arange(count) + rng.integers(1, 5, count) * 40.0 // 40 * 40
    labelled = rng.random(count) < 0.8
    value = rng.random((count, 3))
    rows = [
        {
            "writer": "w",
            "sequence": int(sizes[:i].sum() + row),
            "row": row,
            "key": f"u{key[i]}" if key[i] else "",
            "arm": "canary" if canary[i] else "live",
            "share": (0.25, 0.5)[step[i]],
            "value": float(value[i, row]),
            "received_at": NOON + timedelta(seconds=i),
            "noted_at": NOON + timedelta(seconds=float(noted[i])),
        }
        for i in range(count)
        if labelled[i]
        for row in range(sizes[i])
    ]
    expected = tally_of(units_of(pl.DataFrame(rows), (0.25, 0.5, 1.0)), (0.25, 0.5, 1.0), 0.02, 1.0, 0.05, interval=False)
    mean = np.array([value[i, : sizes[i]].mean() for i in range(count)])
    late = Late(np.where(labelled, mean, np.nan), np.where(labelled, noted - np.arange(count), np.nan), sizes * 1.0)
    everyone = np.arange(count)
    unit = np.where(key > 0, key, 100 + everyone)
    given = Given(everyone, everyone, canary, step).among(labelled)
    fresh = begin(GUARDED, 3)
    found = with_late(GUARDED, fresh, {"accuracy": late}, given, everyone * 1.0, unit, (-np.inf, 1e9)).means["accuracy"]
    assert found.units == expected.units and found.blocks == expected.blocks
    assert found.sums == pytest.approx(expected.sums) and found.harm == pytest.approx(expected.harm)


def late_record(delay: float, seed: int = 7) -> Recorded:
    """Ten requests a second at 25 %, the canary right in half of them and the live version nearly always; told `delay` seconds later."""
    rng, count = np.random.default_rng(seed), 6_000
    canary = rng.random(count) < 0.25
    answers = stream(rng, count, 0, steps=(25.0,), failing=(0.0, 0.0))
    right = (rng.random(count) < np.where(canary, 0.5, 0.95)).astype(np.float64)
    late = Late(right, np.full(count, delay), np.ones(count))
    return Recorded(np.arange(count) / 10, canary, np.full(count, 0.25), answers, {"accuracy": late})


def test_what_comes_later_decides_later_by_as_much() -> None:
    known = begin(GUARDED, 3, latencies=earlier(np.random.default_rng(9)))
    soon, later = (redecide(rollout(GUARDED), known, late_record(delay)) for delay in (0.0, 120.0))
    assert soon.state.reason == later.state.reason == "accuracy worse at 0.25 of the traffic"
    assert later.seconds == pytest.approx(soon.seconds + 120.0, abs=1.5)


def test_labels_that_come_when_no_request_does_any_more_still_decide() -> None:
    known = begin(GUARDED, 3, latencies=earlier(np.random.default_rng(9)))
    found = redecide(rollout(GUARDED), known, late_record(5_000.0))
    assert found.state.phase == "rolled back" and found.seconds > 5_000


def test_a_lent_answer_brings_its_label() -> None:
    wide = plan(steps=(50.0, 100.0), guards=read_guards("accuracy", ""), bake=600.0, min_rows=100)
    known = begin(wide, 3, latencies=earlier(np.random.default_rng(9)))
    found = redecide(rollout(wide), known, late_record(5.0))
    assert found.state.reason == "accuracy worse at 0.5 of the traffic" and 0.3 < found.lent < 0.7


def test_labels_that_come_all_at_one_moment_come_for_both_arms_though_answers_are_lent() -> None:
    """At first nobody was the candidate's: answers that are lent to those of that time bring no label before its own came."""
    given = late_record(0.0)
    first = given.second < 20
    together = np.ceil((given.second + 1e-9) / 60) * 60 - given.second
    late = given.late["accuracy"]._replace(delay=together, value=np.ones(len(together)))
    share, candidate = np.where(first, 0.0, given.share), given.candidate & ~first
    known = begin(GUARDED, 3, latencies=earlier(np.random.default_rng(9)))
    found = redecide(rollout(GUARDED), known, given._replace(share=share, candidate=candidate, late={"accuracy": late}))
    assert found.state.phase == "running" and "shares" not in found.state.reason
    evidence = begin(GUARDED, 3)
    everyone = np.arange(600)
    arms = Given(everyone, np.where(first[:600], everyone + 300, everyone), everyone % 4 == 0, np.zeros(600, np.int64))
    units = with_late(GUARDED, evidence, {"accuracy": late}, arms, given.second, everyone, (-np.inf, 59.0)).means
    assert units == {} and with_late(GUARDED, evidence, {"accuracy": late}, arms, given.second, everyone, (59.0, 60.0)).means
