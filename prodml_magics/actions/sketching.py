"""What the controller does for drift: sketches served rows by stretches of time as they are drained into the lake.

Counts are kept with the numbers of the rows that they hold (`storage.buckets`). A process that begins, or whose store failed, reads
from the lake whatever lies behind those numbers, so that each row is counted once whoever was killed when.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prodml_magics.actions.buckets import ROWS_ALONE, VersionGrid, bucket_store, joined, read_grid, sketch_rows, summarised
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import ProdmlError, Unavailable, first_line
from prodml_magics.storage.buckets import DAY, HOUR, Addition, Edges, Key
from prodml_magics.storage.lake import LakeRows

if TYPE_CHECKING:
    import polars as pl

    from prodml_magics.stats.drift.bucket import Sketch

__all__ = ["KEEP_FINEST", "KEEP_HOURS", "Sketching"]

KEEP_FINEST = 2 * DAY
KEEP_HOURS = 92 * DAY
"""For so many seconds buckets stay as narrow; twelve weeks of hours are what a watch learns from."""

_AT_ONCE = 200_000
"""Rows that are read from the lake at a time."""
_CATCH_UP_SECONDS = 2.0
"""For how long one call catches up before it lets the next drain begin."""


class Sketching:
    """The sketches of a home; called by whichever thread drains, one at a time."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._store = bucket_store(workspace)
        self._models: dict[str, _Model] = {}
        self._behind: set[str] | None = None
        """Models of which the lake may hold rows that are not counted; None before anybody looked."""
        self._grids: dict[tuple[str, int], VersionGrid | None] = {}
        self.problems: dict[str, str] = {}
        """Per model, why its rows are not sketched; empty when all is well."""

    def took(self, model: str, rows: LakeRows) -> None:
        """Rows of `model` are in the lake."""
        if self._behind is None or model in self._behind:
            return  # read from the lake with all others
        if model not in self._models:
            self._behind.add(model)
        else:
            self._guarded(model, partial(self._count, model, rows))

    def keep(self) -> None:
        """Write what was counted, catch up with what was not, and roll up what has become old."""
        if self._behind is None:
            self._behind = set(self._workspace.ledger.routes()) if self._workspace.has_ledger() else set()
        for model, counted in list(self._models.items()):
            if counted.additions:
                self._guarded(model, partial(self._write, model))
        until = self._workspace.clock.monotonic() + _CATCH_UP_SECONDS
        for model in sorted(self._behind):
            self._guarded(model, partial(self._catch_up, model, until))
        self._roll_up()

    def _guarded(self, model: str, work: Callable[[], None]) -> None:
        try:
            work()
        except _Later as error:
            self.problems[model] = str(error)
        except Exception as error:  # whatever a profile or a store throws must not hold up the drain
            # What was counted in memory is forgotten: the lake has the rows, the store the numbers up to which they count.
            self._models.pop(model, None)
            assert self._behind is not None
            self._behind.add(model)
            self.problems[model] = str(error) if isinstance(error, ProdmlError) else f"its sketches: {first_line(error)}"
        else:
            self.problems.pop(model, None)

    def _model(self, model: str) -> _Model:
        if model not in self._models:
            self._models[model] = _Model(self._store.marks(model), self._store.edges(model))
        return self._models[model]

    def _catch_up(self, model: str, until: float) -> None:
        assert self._behind is not None
        counted = self._model(model)
        for rows in self._workspace.lake.behind(model, counted.marks, _AT_ONCE):
            self._count(model, rows)
            self._write(model)
            if self._workspace.clock.monotonic() > until:
                raise _Later(f"the sketches of {model} still catch up with the lake; drift reads its rows meanwhile")
        self._behind.discard(model)

    def _count(self, model: str, rows: LakeRows) -> None:
        counted = self._model(model)
        mark = counted.marks.get(rows.writer, 0)
        if rows.until <= mark:
            return
        if not counted.edges.hours_until:
            counted.edges = _edges_at(self._workspace.clock.now())
        wanted = pc.and_(pc.greater_equal(rows.table["sequence"], mark), pc.equal(rows.table["status"], 200))
        # Most often all are, and a copy of every column costs more than counting them.
        fresh = rows.table if pc.all(wanted).as_py() else rows.table.filter(wanted)
        if fresh.num_rows:
            self._sketch(model, counted, fresh)
        counted.marks[rows.writer] = counted.unkept[rows.writer] = rows.until

    def _sketch(self, model: str, counted: _Model, table: pa.Table) -> None:
        import polars as pl

        rows = pl.DataFrame(pl.from_arrow(table))
        grids = self._grids_of(model, {int(version) for version in rows["version"].unique().to_list()})
        seconds = rows["received_at"].dt.epoch("s").to_numpy()
        # Rows of one finest bucket are in one wider bucket too.
        cells = np.unique(seconds // 300)
        for arm in rows["arm"].unique().to_list():
            of_arm = (rows["arm"] == arm).to_numpy()
            for cell in cells.tolist():
                inside = of_arm & (seconds // 300 == cell)
                if inside.any():
                    self._add(counted, grids, arm, int(cell) * 300, rows if inside.all() else rows.filter(pl.Series(inside)))

    def _add(self, counted: _Model, grids: list[VersionGrid], arm: str, second: int, rows: pl.DataFrame) -> None:
        counted.add(counted.edges.key(ROWS_ALONE, arm, second), rows.height, {})
        for grid in grids:
            counted.add(counted.edges.key(grid.name, arm, second), rows.height, sketch_rows(grid, rows))

    def _write(self, model: str) -> None:
        counted = self._model(model)
        self._store.add(model, counted.packed(), counted.unkept, joined)
        if not self._store.edges(model).hours_until:
            self._store.roll_up(model, counted.edges, joined, summarised)
        counted.written()

    def _grids_of(self, model: str, versions: set[int]) -> list[VersionGrid]:
        """Those of the versions that answered, of the live one, which all served rows are compared with, and of the first one.

        A watch for ever goes on on the first grid, so that it need not learn anew with every version.
        """
        live, first = self._workspace.route(model).live, self._store.first_grid(model)
        wanted = versions | ({live} if live is not None else set()) | ({int(first.partition(":")[0])} if first else set())
        return [grid for version in sorted(wanted) if (grid := self._grid(model, version)) is not None]

    def _grid(self, model: str, version: int) -> VersionGrid | None:
        if (model, version) not in self._grids:
            try:
                self._grids[model, version] = read_grid(self._workspace, model, version)
            except Unavailable:
                raise
            except ProdmlError:
                self._grids[model, version] = None  # `drift` says what is wrong with that version
        return self._grids[model, version]

    def _roll_up(self) -> None:
        edges = _edges_at(self._workspace.clock.now())
        for model, counted in list(self._models.items()):
            if counted.edges.hours_until and edges.hours_until > counted.edges.hours_until:
                self._guarded(model, partial(self._store.roll_up, model, edges, joined, summarised))
                if model in self._models:
                    counted.edges = edges


class _Later(Exception):
    """More is to be caught up with than one turn has time for."""


class _Model:
    """What was counted of a model and not yet written."""

    def __init__(self, marks: Mapping[str, int], edges: Edges) -> None:
        self.marks = dict(marks)
        self.unkept: dict[str, int] = {}
        self.edges = edges
        self.additions: dict[Key, tuple[int, dict[str, Sketch]]] = {}

    def add(self, key: Key, rows: int, sketches: dict[str, Sketch]) -> None:
        """Rows of one bucket."""
        from prodml_magics.stats.drift.bucket import total

        before = self.additions.get(key, (0, {}))
        self.additions[key] = before[0] + rows, total([before[1], sketches])

    def packed(self) -> dict[Key, Addition]:
        """Everything, as the store takes it."""
        from prodml_magics.stats.drift.bucket import pack

        return {
            key: Addition(rows, None if key.grid == ROWS_ALONE else pack(sketches))
            for key, (rows, sketches) in self.additions.items()
        }

    def written(self) -> None:
        """It is all in the store."""
        self.additions, self.unkept = {}, {}


def _edges_at(now: datetime) -> Edges:
    second = int(now.timestamp())
    return Edges((second - KEEP_FINEST) // HOUR * HOUR, (second - KEEP_HOURS) // DAY * DAY)
