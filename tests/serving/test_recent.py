"""Rates of what happened in the last seconds, by a clock that the test moves."""

from __future__ import annotations

from prodml_magics.serving.recent import Recent


def test_a_rate_is_that_of_the_last_ten_seconds_and_of_a_shorter_life_where_it_is_younger() -> None:
    now = [100.0]
    recent = Recent(lambda: now[0])
    assert recent.per_second() == 0
    for _ in range(400):
        recent.count()
        now[0] += 0.01
    assert 95 < recent.per_second() < 105
    now[0] = 109.9
    assert 39 <= recent.per_second() <= 41
    now[0] = 120.0
    assert recent.per_second() == 0
