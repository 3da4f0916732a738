"""Parts of the rows against the whole rows that a profile keeps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.signal import lfilter

from prodml_magics.actions.slices import compare_slices, search_slices
from prodml_magics.stats.drift import Reference, from_arrow, prepare, to_arrow
from prodml_magics.wire.requests import Drift

ROWS = 20_000
REQUEST = Drift(model="m", by="city")


def _rows(rng: np.random.Generator, rows: int = ROWS) -> dict[str, np.ndarray]:
    city = rng.choice(["Oslo", "Rome", "Lima"], rows, p=[0.5, 0.3, 0.2])
    x = rng.normal(size=rows) + (city == "Rome")
    return {"city": city, "x": x, "y": rng.normal(size=rows), "plan": np.where(rng.random(rows) < 0.3, "pro", "free")}


def _profile(rows: dict[str, np.ndarray]) -> Reference:
    return from_arrow(to_arrow(prepare(rows, calibrate=True, whole=True)))


def test_alike_no_part_drifts_and_what_moved_in_one_is_named() -> None:
    rng = np.random.default_rng(1)
    profile, now = _profile(_rows(rng)), _rows(rng, 5_000)
    alike = compare_slices(profile.whole, now, REQUEST, profile)
    assert {part["slice"]: part["verdict"] for part in alike} == dict.fromkeys(
        ("city = Oslo", "city = Rome", "city = Lima"), "no drift"
    )
    assert search_slices(profile, None, now, Drift(model="m")) == []
    now["y"] = np.where(now["city"] == "Lima", now["y"] + 1.5, now["y"])
    worst, *others = compare_slices(profile.whole, now, REQUEST, profile)
    assert (worst["slice"], worst["drifted"]) == ("city = Lima", ["y"])
    assert {part["verdict"] for part in others} == {"no drift"}
    (found,) = search_slices(profile, None, now, Drift(model="m"))
    assert (found["slice"], found["worst"]) == ("city = Lima", "y")
    assert found["effect"] > 0.4 > found["overall"]


def test_categories_that_moved_in_a_part_are_found_too() -> None:
    rng = np.random.default_rng(2)
    profile, now = _profile(_rows(rng)), _rows(rng, 5_000)
    now["plan"] = np.where((now["city"] == "Rome") & (rng.random(5_000) < 0.8), "pro", now["plan"])
    worst = compare_slices(profile.whole, now, REQUEST, profile)[0]
    assert (worst["slice"], worst["drifted"]) == ("city = Rome", ["plan"])
    found = {(part["slice"], part["worst"]) for part in search_slices(profile, None, now, Drift(model="m"))}
    assert ("city = Rome", "plan") in found


def test_correlated_rows_are_no_drift_of_a_part() -> None:
    """Rows drawn at random are no neighbours any more: how much those tell of each other is known from all rows."""
    rng, alarms = np.random.default_rng(3), {"known": 0, "blind": 0}
    strict = Drift(model="m", by="city", tolerance=0.01)
    for _ in range(6):
        before, now = (
            {"city": _rows(rng, rows // 100)["city"].repeat(100), "x": _slow(rng, rows)} for rows in (10 * ROWS, 6_000)
        )
        profile = _profile(before)
        bare = {name: column._replace(calibration=None) for name, column in profile.columns.items()}
        for name, known in (("known", profile), ("blind", replace(profile, columns=bare))):
            alarms[name] += any(part["drifted"] for part in compare_slices(profile.whole, now, strict, known))
    assert alarms["known"] == 0
    assert alarms["blind"] > 2


def _slow(rng: np.random.Generator, rows: int) -> np.ndarray:
    return lfilter([1.0], [1.0, -0.95], rng.normal(size=rows + 500))[500:]
