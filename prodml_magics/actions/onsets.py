"""Since when: the moment at which a drifted column began to move, in a window of served rows or the sketches of a longer stretch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from prodml_magics.actions.buckets import VersionGrid
from prodml_magics.actions.kept import Asked, KeptBucket, kept_window
from prodml_magics.actions.workspace import Workspace
from prodml_magics.wire.results import OnsetRecord

if TYPE_CHECKING:
    import polars as pl

    from prodml_magics.stats.drift import Reference
    from prodml_magics.stats.drift.onset import Onset

__all__ = ["LOOK_BACK", "find_kept_onsets", "find_onsets"]

LOOK_BACK = timedelta(days=30)
"""How far before a window sketches are searched for the beginning."""

_BUCKETS = 60
_MOST = 10


def find_onsets(reference: Reference, rows: pl.DataFrame, names: Sequence[str], alpha: float) -> list[OnsetRecord]:
    """For at most ten of the named numeric inputs, where the window holds a change; rows are those of the lake, oldest first."""
    from prodml_magics.stats.drift.columns import as_numbers
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
        found += _located(name, counts, edges / 1e6, alpha)
    return found


def find_kept_onsets(
    workspace: Workspace, asked: Asked, grid: VersionGrid, names: Sequence[str], alpha: float
) -> list[OnsetRecord] | None:
    """The same from sketches of the window and the 30 days before it; None where they do not have all of it."""
    from prodml_magics.stats.drift.sketch import SketchGrid

    wanted = [name for name in names if isinstance(grid.grids.get(name), SketchGrid) and name not in grid.outputs][:_MOST]
    since = None if asked.since is None else asked.since - LOOK_BACK
    window = kept_window(workspace, asked._replace(since=since), grid) if wanted else None
    if window is None:
        return [] if not wanted else None
    return [onset for name in wanted for onset in _among(name, window.buckets, alpha)]


def _among(name: str, buckets: Sequence[KeptBucket], alpha: float) -> list[OnsetRecord]:
    """Found among some sixty groups of buckets first, then among the buckets around it."""
    coarse = np.array_split(np.arange(len(buckets)), min(_BUCKETS, len(buckets)))
    groups = [[buckets[i] for i in places] for places in coarse]
    onset = _onset(name, groups, alpha)
    if onset is None or len(groups) == len(buckets):
        return [] if onset is None else [_record(name, onset, [(group[0].start, group[-1].end) for group in groups])]
    first, last = max(0, onset.earliest - 2), min(len(groups), onset.latest + 2)
    near = [[bucket] for group in groups[first:last] for bucket in group]
    finer = _onset(name, near, alpha)
    chosen, among = (onset, groups) if finer is None else (finer, near)
    return [_record(name, chosen, [(group[0].start, group[-1].end) for group in among])]


def _onset(name: str, groups: Sequence[Sequence[KeptBucket]], alpha: float) -> Onset | None:
    from prodml_magics.stats.drift.bucket import numbers
    from prodml_magics.stats.drift.onset import locate_onset

    counts = [np.sum([numbers(bucket.sketches[name]).counts for bucket in group], axis=0) for group in groups]
    return locate_onset(np.array(counts), alpha=alpha)


def _record(name: str, onset: Onset, ends: Sequence[tuple[float, float]]) -> OnsetRecord:
    at, earliest, latest = (
        _moment(second) for second in (ends[onset.bucket][0], ends[onset.earliest - 1][0], ends[onset.latest][1])
    )
    return OnsetRecord(column=name, at=at, earliest=earliest, latest=latest)


def _located(name: str, counts: np.ndarray, edges: np.ndarray, alpha: float) -> list[OnsetRecord]:
    from prodml_magics.stats.drift.onset import locate_onset

    onset = locate_onset(counts, alpha=alpha)
    if onset is None:
        return []
    moments = [_moment(edges[bucket]) for bucket in (onset.bucket, onset.earliest - 1, onset.latest)]
    return [OnsetRecord(column=name, at=moments[0], earliest=moments[1], latest=moments[2])]


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
