"""How many requests until events show a ratio: drawn paths beside the test itself, request by request in batches."""

from __future__ import annotations

import numpy as np
import pytest

from prodml_magics.stats.sequential.rate_ratio import FEWER, MORE, log_e_value, within
from prodml_magics.stats.sequential.rows_of_events import Bets, rows_for_events


def simulated(share: float, rate: float, ratio: float, bets: Bets, batch: int, most: int) -> np.ndarray:
    """Requests [200] until the test has spoken, looked at behind each batch."""
    rng = np.random.default_rng(1)
    rows = rng.binomial(batch, share, (200, most))
    canary = np.cumsum(rng.binomial(rows, min(rate * ratio, 1.0)), axis=1)
    both = canary + np.cumsum(rng.binomial(batch - rows, rate), axis=1)
    hit = log_e_value(canary, both[..., None], [share], bets.ratios, bets.null) >= np.log(20)
    assert hit.any(axis=1).mean() > 0.95
    return np.where(hit.any(axis=1), hit.argmax(axis=1) + 1, most) * float(batch)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.25, 0.5])
@pytest.mark.parametrize(("rate", "ratio"), [(0.00002, 250.0), (0.001, 11.0), (0.01, 3.0), (0.01, 1.6)])
def test_more_events_are_planned_within_a_fifth_of_the_simulation(share: float, rate: float, ratio: float) -> None:
    for power in (None, 0.8):
        planned = rows_for_events(share, rate, ratio, [Bets(MORE)], power=power)
        batch = max(1, round(planned / 150))
        found = simulated(share, rate, ratio, Bets(MORE), batch, 1_500)
        assert planned == pytest.approx(found.mean() if power is None else np.quantile(found, power), rel=0.2)


@pytest.mark.parametrize("bets", [Bets(within(0.5), 1.5), Bets(FEWER)])
def test_as_many_events_are_planned_as_well(bets: Bets) -> None:
    ratio = 1.0 if bets.null > 1 else 0.5
    planned = rows_for_events(0.25, 0.02, ratio, [bets])
    assert planned == pytest.approx(simulated(0.25, 0.02, ratio, bets, round(planned / 150), 1_500).mean(), rel=0.2)


def test_what_bets_cannot_see_is_never_seen_and_both_sides_take_longer_than_one() -> None:
    assert rows_for_events(0.05, 0.01, 1.0, [Bets(MORE)]) == rows_for_events(0.05, 0.0, 2.0, [Bets(MORE)]) == float("inf")
    one, other = Bets(within(0.5), 1.5), Bets(1 / within(0.5), 1 / 1.5)
    assert rows_for_events(0.25, 0.02, 1.0, [one]) < rows_for_events(0.25, 0.02, 1.0, [one, other])
    assert rows_for_events(0.05, 0.01, 2.0, [Bets(MORE)], guards=4) > rows_for_events(0.05, 0.01, 2.0, [Bets(MORE)])
