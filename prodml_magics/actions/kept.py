"""A window of served rows as it was sketched: whole buckets from the store, and the ragged ends from the rows of the lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from prodml_magics.actions.buckets import ROWS_ALONE, VersionGrid, bucket_store, sketch_rows
from prodml_magics.actions.workspace import Workspace

if TYPE_CHECKING:
    from prodml_magics.stats.drift.bucket import Sketch

__all__ = ["Asked", "KeptBucket", "KeptWindow", "is_whole", "kept_rows", "kept_window", "kept_windows"]


class Asked(NamedTuple):
    """Rows of which arms of a model, received in [since, until); None is open."""

    model: str
    arms: Sequence[str]
    since: datetime | None
    until: datetime | None


class KeptBucket(NamedTuple):
    """Rows received in [start, end) seconds since 1970."""

    start: float
    end: float
    rows: int
    sketches: Mapping[str, Sketch]


class KeptWindow(NamedTuple):
    """The window's buckets, oldest first, with their sum; `read` rows of it came from the lake, because its ends cut a bucket."""

    rows: int
    sketches: Mapping[str, Sketch]
    buckets: Sequence[KeptBucket]
    read: int

    @property
    def since(self) -> datetime:
        """Where the first bucket with rows begins."""
        return datetime.fromtimestamp(self.buckets[0].start, UTC)

    @property
    def until(self) -> datetime:
        """Where the last one ends."""
        return datetime.fromtimestamp(self.buckets[-1].end, UTC)

    def holds(self, since: datetime, until: datetime) -> bool:
        """Whether any of its buckets reaches into [since, until)."""
        return any(bucket.end > since.timestamp() and bucket.start < until.timestamp() for bucket in self.buckets)


def kept_rows(workspace: Workspace, asked: Asked) -> int:
    """About how many rows the window has, by the buckets that reach into it; 0 where nothing is kept."""
    found = bucket_store(workspace).sizes(asked.model, ROWS_ALONE, asked.arms, *_seconds(asked))
    return sum(bucket.rows for bucket in found)


def is_whole(workspace: Workspace, model: str) -> bool:
    """Whether every row of the lake is sketched; asked where no controller says so."""
    marks = bucket_store(workspace).marks(model)
    return bool(marks) and next(workspace.lake.behind(model, marks, 1), None) is None


def kept_window(workspace: Workspace, asked: Asked, grid: VersionGrid) -> KeptWindow | None:
    """The window on the grid of a version; None where some of its rows were not sketched on that grid."""
    from prodml_magics.stats.drift.bucket import total, unpack

    store = bucket_store(workspace)
    since, until = _seconds(asked)
    of_grid = store.read(asked.model, grid.name, asked.arms, since, until)
    alone = store.sizes(asked.model, ROWS_ALONE, asked.arms, since, until)
    sketched = {bucket.key[1:]: bucket.rows for bucket in of_grid}
    if not alone or any(sketched.get(bucket.key[1:]) != bucket.rows for bucket in alone):
        return None
    whole, cut = [], set()
    for bucket in of_grid:
        begins, ends = bucket.key.start, bucket.key.start + bucket.key.width
        if (since is not None and begins < since) or (until is not None and ends > until):
            cut.add((begins, ends))
        else:
            whole.append(KeptBucket(begins, ends, bucket.rows, unpack(bucket.sketches or b"")))
    read = [part for ends in sorted(cut) if (part := _read(workspace, asked, grid, ends, since, until)) is not None]
    buckets = sorted([*_together(whole), *read], key=lambda bucket: bucket.start)
    rows = sum(bucket.rows for bucket in buckets)
    sketches = total(bucket.sketches for bucket in buckets)
    inputs = [name for name in grid.grids if name not in grid.outputs]
    if not rows or any(name not in sketches or sketches[name].rows != rows for name in inputs):
        return None
    return KeptWindow(rows, sketches, buckets, sum(bucket.rows for bucket in read))


def kept_windows(
    workspace: Workspace, asked: Asked, grid: VersionGrid, stretches: Sequence[tuple[datetime, datetime]]
) -> KeptWindow | None:
    """Several stretches as one window, without those in which nothing was served; None where one of the others was not sketched."""
    from prodml_magics.stats.drift.bucket import total

    found = []
    for since, until in stretches:
        part = asked._replace(since=since, until=until)
        if len(stretches) > 1 and not kept_rows(workspace, part):
            continue
        window = kept_window(workspace, part, grid)
        if window is None:
            return None
        found.append(window)
    if len(found) < 2:
        return found[0] if found else None
    buckets = [bucket for window in found for bucket in window.buckets]
    sketches = total(window.sketches for window in found)
    return KeptWindow(sum(window.rows for window in found), sketches, buckets, sum(window.read for window in found))


def _together(buckets: Sequence[KeptBucket]) -> list[KeptBucket]:
    """Those of several arms of one stretch as one."""
    from prodml_magics.stats.drift.bucket import total

    groups: dict[tuple[float, float], list[KeptBucket]] = {}
    for bucket in buckets:
        groups.setdefault((bucket.start, bucket.end), []).append(bucket)
    return [
        group[0] if len(group) == 1 else KeptBucket(*ends, sum(b.rows for b in group), total(b.sketches for b in group))
        for ends, group in groups.items()
    ]


def _read(
    workspace: Workspace,
    asked: Asked,
    grid: VersionGrid,
    ends: tuple[float, float],
    since: float | None,
    until: float | None,
) -> KeptBucket | None:
    """The part of a bucket that lies in the window, from the rows."""
    first = ends[0] if since is None else max(since, ends[0])
    last = ends[1] if until is None else min(until, ends[1])
    moments = [datetime.fromtimestamp(second, UTC) for second in (first, last)]
    rows = workspace.lake.rows(asked.model, arms=asked.arms, since=moments[0], until=moments[1])
    return None if rows.is_empty() else KeptBucket(first, last, rows.height, sketch_rows(grid, rows))


def _seconds(asked: Asked) -> tuple[float | None, float | None]:
    since, until = (None if moment is None else moment.timestamp() for moment in (asked.since, asked.until))
    return since, until
