"""How many units until block pairs see a mean: the closed form beside simulations of the very tests, over laws of all shapes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from prodml_magics.stats.sequential.block_pairs import STAKES, control_rows
from prodml_magics.stats.sequential.mixture import log_mean_exp
from prodml_magics.stats.sequential.rows_of_values import moved, rows_for_values

LAWS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "symmetric": lambda rng, n: rng.beta(8, 8, n),
    "skewed": lambda rng, n: rng.beta(0.5, 8, n),
    "skewed hard": lambda rng, n: rng.beta(0.2, 4, n),
    "skewed the other way": lambda rng, n: rng.beta(8, 0.8, n),
    "mostly low, some high": lambda rng, n: np.where(rng.random(n) < 0.05, rng.beta(8, 2, n), rng.beta(1, 30, n)),
    "a long tail": lambda rng, n: np.minimum(rng.lognormal(0, 1, n) / 50, 1),
    "an event": lambda rng, n: (rng.random(n) < 0.3) * 1.0,
    "a rare event": lambda rng, n: (rng.random(n) < 0.02) * 1.0,
}
RUNS = 250


def simulated(values: np.ndarray, share: float, blocks: float, **how: float) -> np.ndarray:
    """Blocks [RUNS] until the test has spoken, looked at after every one of them."""
    rng, block = np.random.default_rng(3), control_rows(share)
    canary, margin, beyond = moved(values, how.get("higher", 0.0)), how.get("margin", 0.0), how.get("beyond", 0.0)
    total, taken, going, step = np.zeros((RUNS, len(STAKES))), np.zeros(RUNS), np.arange(RUNS), max(1, round(blocks / 50))
    for start in range(0, int(6 * blocks), step):
        theirs = rng.choice(values, (len(going), step, block)).mean(axis=2)
        apart = rng.choice(canary, (len(going), step)) - theirs
        payoff = (margin - apart) / (1 + margin) if margin else (apart - beyond) / (1 + beyond)
        path = total[going, None] + np.cumsum(np.log1p(STAKES * payoff[..., None]), axis=1)
        shown = log_mean_exp(path) >= np.log(20)
        taken[going] = np.where(shown.any(axis=1), start + 1 + shown.argmax(axis=1), start + step)
        total[going] = path[:, -1]
        going = going[~shown.any(axis=1)]
        if not len(going):
            break
    return taken


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("share", [0.05, 0.25])
def test_the_closed_form_is_within_a_fifth_of_the_simulation(law: str, share: float) -> None:
    values = LAWS[law](np.random.default_rng(1), 20_000)
    effect = 0.5 * float(values.std())
    for how in ({"higher": effect}, {"higher": effect, "beyond": effect / 2}, {"margin": effect}):
        planned = rows_for_values(share, values, **how)
        found = simulated(values, share, planned / (1 + control_rows(share)), **how) * (1 + control_rows(share))
        assert planned == pytest.approx(float(found.mean()), rel=0.2), how
        assert rows_for_values(share, values, power=0.8, **how) == pytest.approx(float(np.quantile(found, 0.8)), rel=0.2), how


def test_both_sides_take_longer_than_one_and_a_mean_that_is_no_higher_is_never_seen() -> None:
    values = LAWS["symmetric"](np.random.default_rng(1), 5_000)
    one, both = rows_for_values(0.25, values, margin=0.05), rows_for_values(0.25, values, margin=0.05, both=True)
    assert one < both < 2 * one
    assert rows_for_values(0.25, values, higher=0.02, beyond=0.03) == float("inf")
    assert rows_for_values(0.25, values, margin=0.05, guards=4) > one


@pytest.mark.parametrize("law", LAWS)
def test_what_is_moved_has_that_mean_and_stays_within_its_range(law: str) -> None:
    values = LAWS[law](np.random.default_rng(1), 5_000)
    found = moved(values, 0.05)
    assert found.mean() == pytest.approx(values.mean() + 0.05, abs=2e-4) and found.min() >= 0 and found.max() <= 1
    assert set(found) <= {0.0, 1.0} or "event" not in law
