"""Since when: the moment in a window of served rows at which a drifted column began to move."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from prodml_magics.wire.results import OnsetRecord

if TYPE_CHECKING:
    import polars as pl

    from prodml_magics.stats.drift import Reference

__all__ = ["find_onsets"]

_BUCKETS = 60
_MOST = 10


def find_onsets(reference: Reference, rows: pl.DataFrame, names: Sequence[str], alpha: float) -> list[OnsetRecord]:
    """For at most ten of the named numeric inputs, where the window holds a change; rows are those of the lake, oldest first."""
    from prodml_magics.stats.drift.columns import as_numbers
    from prodml_magics.stats.drift.onset import locate_onset
    from prodml_magics.stats.drift.reference import NumericColumn
    from prodml_magics.stats.drift.sketch import sketch_grid, sketch_numbers

    times = rows["received_at"].dt.epoch("us").to_numpy()
    if len(times) < 2 or times[0] == times[-1]:
        return []
    edges = np.linspace(times[0], times[-1], _BUCKETS + 1)
    ends = np.append(np.searchsorted(times, edges[1:-1]), len(times))
    found: list[OnsetRecord] = []
    for name in names:
        column = reference.columns[name]
        if not isinstance(column, NumericColumn) or name not in rows["inputs"].struct.fields or len(found) == _MOST:
            continue
        grid = sketch_grid(column)
        parts = np.split(rows["inputs"].struct.field(name).to_numpy(), ends[:-1])
        counts = np.array([sketch_numbers(grid, as_numbers(name, part)).counts for part in parts])
        onset = locate_onset(counts, alpha=alpha)
        if onset is not None:
            moments = [_moment(edges[bucket]) for bucket in (onset.bucket, onset.earliest - 1, onset.latest)]
            found.append(OnsetRecord(column=name, at=moments[0], earliest=moments[1], latest=moments[2]))
    return found


def _moment(microseconds: float) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)
