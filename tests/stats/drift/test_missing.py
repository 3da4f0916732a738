from __future__ import annotations

import pytest
from scipy import stats

from prodml_magics.stats.drift.missing import missing_change


def test_p_value_is_the_pooled_two_proportion_test() -> None:
    oracle = stats.chi2_contingency([[30, 970], [60, 440]], correction=False)
    assert missing_change(30, 1_000, 60, 500).p_value == pytest.approx(oracle.pvalue, rel=1e-9)


def test_few_missing_rows_are_tested_exactly() -> None:
    oracle = stats.hypergeom.sf(1, 101_000, 2, 1_000)
    assert missing_change(0, 100_000, 2, 1_000).p_value == pytest.approx(2 * oracle, rel=1e-9)


def test_lower_bound_is_newcombes() -> None:
    before, now = (stats.binomtest(k, n).proportion_ci(method="wilson") for k, n in ((10, 200), (40, 100)))
    low = 0.35 - ((0.4 - now.low) ** 2 + (before.high - 0.05) ** 2) ** 0.5
    assert missing_change(10, 200, 40, 100).effect_low == pytest.approx(low)
    assert missing_change(40, 100, 10, 200).effect_low == pytest.approx(low)
    assert missing_change(10, 200, 11, 200).effect_low == 0.0


@pytest.mark.parametrize(("reference", "current"), [(0, 100), (100, 0), (100, 100)])
def test_all_missing_is_a_number_not_a_crash(reference: int, current: int) -> None:
    change = missing_change(reference, 100, current, 100)
    assert change.effect == abs(reference - current) / 100
    assert 0 <= change.p_value <= 1
