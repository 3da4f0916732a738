from __future__ import annotations

import pytest
from scipy import stats

from prodml_magics.stats.tails import chi_squared_tail, hypergeometric_p_value, hypergeometric_tail


@pytest.mark.parametrize("degrees", [1, 2, 3, 10, 57, 999])
@pytest.mark.parametrize("ratio", [0.0, 1e-6, 0.2, 0.9, 1.0, 1.3, 4.0, 30.0])
def test_chi_squared_tail_is_scipys(degrees: int, ratio: float) -> None:
    assert chi_squared_tail(ratio * degrees, degrees) == pytest.approx(
        stats.chi2.sf(ratio * degrees, degrees), rel=1e-9, abs=1e-14
    )


@pytest.mark.parametrize(
    ("hits", "drawn", "marked", "total"),
    [(0, 5, 3, 20), (3, 5, 3, 20), (4, 5, 3, 20), (2, 1_000, 4, 101_000), (9, 10, 12, 15), (7, 10, 12, 15), (1, 1, 1, 2)],
)
def test_hypergeometric_tail_is_scipys(hits: int, drawn: int, marked: int, total: int) -> None:
    expected = stats.hypergeom.sf(hits - 1, total, marked, drawn)
    assert hypergeometric_tail(hits, drawn, marked, total) == pytest.approx(expected, rel=1e-9)


def test_no_chance_is_ever_nil() -> None:
    assert 0 < chi_squared_tail(1e6, 3) < 1e-300
    assert 0 < hypergeometric_p_value(50_000, 50_000, 50_000, 100_000) < 1e-300


def test_hypergeometric_p_value_is_twice_the_smaller_tail() -> None:
    tails = stats.hypergeom.sf(7, 40, 10, 20), stats.hypergeom.cdf(8, 40, 10, 20)
    assert hypergeometric_p_value(8, 20, 10, 40) == pytest.approx(2 * min(tails), rel=1e-9)
    assert hypergeometric_p_value(5, 20, 10, 40) == 1.0
