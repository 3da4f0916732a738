from __future__ import annotations

import polars as pl
import pytest

from prodml_magics.actions.sampled import requests_behind, sampling_note


@pytest.mark.parametrize(
    ("shares", "behind", "note"),
    [
        ([1.0, None], [1, 1], ""),
        ([0.1, 0.1], [10, 10], "0.1 of the requests are logged"),
        ([0.25, None, 1.0], [4, 1, 1], "between 0.25 and 1 of the requests are logged, so that fuller stretches weigh more"),
        ([], [], ""),
    ],
)
def test_a_row_stands_for_as_many_requests_as_were_left_out_beside_it(
    shares: list[float | None], behind: list[float], note: str
) -> None:
    rows = pl.DataFrame({"log_share": pl.Series(shares, dtype=pl.Float64)})
    assert requests_behind(rows).tolist() == pytest.approx(behind)
    assert sampling_note(rows) == note


def test_rows_of_an_older_release_stand_for_themselves() -> None:
    rows = pl.DataFrame({"status": [200, 200]})
    assert (requests_behind(rows).tolist(), sampling_note(rows)) == ([1, 1], "")
