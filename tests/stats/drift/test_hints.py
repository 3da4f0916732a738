"""What a drift looks like is told by the change that was made."""

from __future__ import annotations

import math

import numpy as np
import pytest

from prodml_magics.stats.drift import detect, prepare
from prodml_magics.stats.drift.hints import number_hint

RNG = np.random.default_rng(20)
PRICES = RNG.lognormal(3, 0.4, 20_000)
CELSIUS = RNG.normal(12, 6, 20_000)
CENTRED = RNG.normal(0, 1, 20_000)

CHANGES = {
    "a unit change ×10": (PRICES, PRICES * 10),
    "a unit change ÷1,000": (PRICES, PRICES / 1_000),
    "a unit change ×2.54": (PRICES, PRICES * 2.54),
    "a unit change ÷60": (PRICES, PRICES / 60),
    "a unit change ×1,000,000": (CENTRED + 9, (CENTRED + 9) * 1e6),
    "a scale ×5.": (PRICES, PRICES * 5.3),
    "a changed sign": (PRICES, -PRICES),
    "degrees Fahrenheit instead of Celsius": (CELSIUS, CELSIUS * 1.8 + 32),
    "degrees Celsius instead of Fahrenheit": (CELSIUS * 1.8 + 32, CELSIUS),
    "kelvins instead of degrees Celsius": (CELSIUS, CELSIUS + 273.15),
    "degrees Celsius instead of kelvins": (CELSIUS + 273.15, CELSIUS),
    "a shift of +": (CENTRED, CENTRED + 2),
    "a shift of -1": (PRICES + 100, PRICES + 88),
    "a spread ×": (CENTRED, CENTRED * 3),
    "a spread ÷": (CENTRED + 0.02, CENTRED / 4 + 0.02),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_the_kind_of_a_change_is_named(kind: str) -> None:
    before, now = CHANGES[kind]
    rows = RNG.permutation(len(before))
    quartiles = [tuple(np.quantile(side, (0.25, 0.5, 0.75))) for side in (before[rows[:10_000]], now[rows[10_000:]])]
    assert f"looks like {kind}" in number_hint(*quartiles)  # type: ignore[arg-type]


def test_a_change_of_shape_is_told_by_its_medians_and_so_is_what_has_no_spread() -> None:
    assert number_hint((0.0, 1.0, 2.0), (0.5, 3.0, 3.5)) == "median 1 in the reference, 3 now"
    assert number_hint((5.0, 5.0, 5.0), (5.0, 6.0, 6.0), "", 0.5) == "moved by 0.5 sd; median 5 in the reference, 6 now"
    assert number_hint((1.0, 2.0, 3.0), (math.inf,) * 3) == "median 2 in the reference, inf now"


def test_the_distance_is_wasserstein_in_sd_of_the_reference() -> None:
    found = detect(prepare({"mean radius": CENTRED}), {"mean radius": CENTRED[::2] + 1.9})
    assert found.sentence == (found.sentence[0],)
    assert found.sentence[0].startswith("`mean radius` moved by 1.9 sd; looks like a shift of +1.9, from a median of ")


def test_every_verdict_has_a_sentence() -> None:
    columns = {
        "age": PRICES[:2_000],
        "city": np.resize(["Oslo", "Rome"], 2_000),
        "gaps": CENTRED[:2_000],
        "few": np.r_[CENTRED[:1_990], [np.nan] * 10],
    }
    now = {
        "age": PRICES[2_000:4_000],
        "city": np.resize(["Rome", "Rome", "Rome", "Oslo"], 2_000),
        "gaps": np.r_[CENTRED[:1_000] + 3, [np.nan] * 1_000],
        "few": np.r_[CENTRED[:10], [np.nan] * 5],
    }
    age, city, gaps, few = detect(prepare(columns), now).sentence
    assert age.startswith("`age` has not drifted: KS distance 0.0")
    assert city == "`city`: 'Oslo' went from 50 % to 25 % of the rows"
    assert gaps.startswith("`gaps` moved by ")
    assert gaps.endswith("; missing share rose from 0 % to 50 %, above the tolerance of 0.05")
    assert few.startswith("`few` is undecided: ")
