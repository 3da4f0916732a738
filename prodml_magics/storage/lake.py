"""The lake: one Delta table of requests per model, appended by the controller, read by whoever judges.

Columns of ``requests/MODEL`` (format 1), partitioned by ``date`` (UTC day of `received_at`):

    writer, sequence   identity of the row: its gateway worker, and its number in that worker's stream
    request_id, row    as the client sent or the gateway made it, and the row within the request
    received_at        UTC, microseconds
    key                routing key of the request, empty when none
    arm, version       who answered; ``rejected``: a request of a rollout that broke the contract of the version that it was to go to
    latency_ms         from the last byte read to the reply handed over, of the whole request
    run_ms             time of the model run in which the row was answered; what versions are compared by
    status             HTTP status that was answered
    rollout, share     the rollout in which the request was randomised and the probability with which it was the canary's; 0 for none
    log_share          the probability with which the request was logged: a row stands for 1 / log_share of them; null, in older rows: 1
    mirrors            for shadow rows: `sequence` of the live row of the same writer that was mirrored
    inputs, outputs    structs of float64 and text, one field per column; null where the row's version has no such field

Every commit carries, per writer, the sequence number up to which it holds that writer's rows (a Delta application transaction).
Delta only records it; `append` checks it, so that a row is in the lake exactly once whatever was killed when.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from prodml_magics.errors import Unavailable, first_line

if TYPE_CHECKING:
    import polars as pl

__all__ = ["PROPERTIES", "Lake", "LakeRows"]

_RETRIES = 5
PROPERTIES = {
    "delta.logRetentionDuration": "interval 1 hours",
    "delta.deletedFileRetentionDuration": "interval 4 hours",
}
"""Commits are many and their history is nobody's: the ledger tells what was decided, the rows tell when they came. What was replaced is
known for longer than `storage.upkeep` takes to remove it, or it would stay for ever."""


class LakeRows:
    """Rows of one model and one writer on their way into the lake; `first`, `until` are sequence numbers ``[first, until)``."""

    def __init__(self, writer: str, table: pa.Table, until: int) -> None:
        self.writer = writer
        self.table = table
        self.until = until


class Lake:
    """Delta tables below a folder or an object store URL (``PRODML_LAKE``)."""

    def __init__(self, root: str | Path) -> None:
        self._root = str(root).rstrip("/")

    def requests(self, model: str) -> str:
        """Where the requests of `model` lie."""
        return f"{self._root}/requests/{model}"

    def labels(self, model: str) -> str:
        """Where the labels of `model` lie, see `prodml_magics.storage.labels`."""
        return f"{self._root}/labels/{model}"

    def table(self, path: str) -> Any:
        """The Delta table at `path`, none when there is none."""
        return self._table(path)

    def drained(self, model: str, writer: str) -> int:
        """The sequence number up to which rows of `writer` are in the table of `model`."""
        table = self._table(self.requests(model))
        return 0 if table is None else table.transaction_version(writer) or 0

    def append(self, model: str, batches: Sequence[LakeRows]) -> int:
        """Append the rows that the table does not hold yet, in one commit; returns how many rows that was."""
        from deltalake import CommitProperties, Transaction, write_deltalake

        path = self.requests(model)
        self._make_folder(path)
        for attempt in range(_RETRIES):
            table = self._table(path)
            fresh = [batch for batch in (_beyond(table, batch) for batch in batches) if batch.table.num_rows]
            if not fresh:
                return 0
            rows = pa.concat_tables([batch.table for batch in fresh], promote_options="permissive")
            marks = [Transaction(batch.writer, batch.until) for batch in fresh]
            try:
                write_deltalake(
                    path if table is None else table,
                    rows,
                    mode="append",
                    partition_by=["date"],
                    schema_mode="merge",
                    commit_properties=CommitProperties(app_transactions=marks),
                    writer_properties=_encoding(rows.schema),
                    configuration=PROPERTIES if table is None else None,
                )
            except Exception as error:
                self._give_up(error, last=attempt == _RETRIES - 1)
                continue
            return int(rows.num_rows)
        raise AssertionError("the last attempt returns or raises")

    def _give_up(self, error: Exception, *, last: bool) -> None:
        from deltalake.exceptions import CommitFailedError

        if last or not isinstance(error, CommitFailedError):
            reason = first_line(error)
            raise Unavailable(f"the lake {self._root} cannot be written ({reason}); check space and permissions") from error

    def flush(self, model: str) -> None:
        """Have what was appended to the requests of `model` on the disk itself, where the lake is on this machine's."""
        folder = Path(self.requests(model))
        if "://" in self._root or not folder.is_dir():
            return
        try:
            for path in (*folder.rglob("*"), folder):  # what is there already costs microseconds
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        except FileNotFoundError:
            self.flush(model)  # compaction has just replaced it
        except OSError as error:
            raise Unavailable(f"the lake {self._root} cannot be brought to the disk ({error}); check the disk") from error

    def _make_folder(self, path: str) -> None:
        if "://" not in path:
            try:
                Path(path).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise Unavailable(f"the lake {self._root} cannot be written ({error.strerror}); make it writable") from error

    def rows(
        self,
        model: str,
        *,
        arms: Iterable[str] | None = None,
        versions: Iterable[int] | None = None,
        statuses: Iterable[int] | None = (200,),
        since: datetime | None = None,
        until: datetime | None = None,
        last: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Rows of the given statuses (none: all) in a window ``[since, until)``, oldest first; the `last` rows of it when given.

        Of the `columns` those that the table has: one that a later release added is in no older table.
        """
        import polars as pl

        frame = self.scan(model, arms=arms, versions=versions, statuses=statuses, since=since, until=until)
        if frame is None:
            return pl.DataFrame()
        frame = frame.sort("received_at", "writer", "sequence")
        frame = frame if last is None else frame.tail(last)
        if columns is not None:
            known = frame.collect_schema().names()
            frame = frame.select([name for name in columns if name in known])
        return frame.collect()

    def scan(
        self,
        model: str,
        *,
        arms: Iterable[str] | None = None,
        versions: Iterable[int] | None = None,
        statuses: Iterable[int] | None = (200,),
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> pl.LazyFrame | None:
        """Such rows in no order, not read yet; none when there is no table."""
        import polars as pl

        table = self._table(self.requests(model))
        if table is None:
            return None
        frame = pl.scan_delta(table)
        if statuses is not None:
            frame = frame.filter(pl.col("status").is_in(list(statuses)))
        if arms is not None:
            frame = frame.filter(pl.col("arm").is_in(list(arms)))
        if versions is not None:
            frame = frame.filter(pl.col("version").is_in(list(versions)))
        if since is not None:
            frame = frame.filter(pl.col("date") >= since.date().isoformat(), pl.col("received_at") >= since)
        if until is not None:
            frame = frame.filter(pl.col("date") <= until.date().isoformat(), pl.col("received_at") < until)
        return frame

    def behind(self, model: str, marks: Mapping[str, int], most: int) -> Iterator[LakeRows]:
        """Rows behind the `marks` of their writers, at most so many at a time, each writer's in order; every arm and status."""
        import polars as pl

        table = self._table(self.requests(model))
        if table is None:
            return
        frame = pl.scan_delta(table)
        ends = frame.group_by("writer").agg(pl.col("sequence").max()).sort("writer").collect()
        for writer, last in ends.iter_rows():
            for first in range(marks.get(writer, 0), last + 1, most):
                until = min(last + 1, first + most)
                mine = (pl.col("writer") == writer) & (pl.col("sequence") >= first) & (pl.col("sequence") < until)
                yield LakeRows(writer, frame.filter(mine).sort("sequence").collect().to_arrow(), until)

    def count(self, model: str) -> int:
        """Rows in the table of `model`, of every arm and status."""
        table = self._table(self.requests(model))
        return 0 if table is None else int(table.to_pyarrow_dataset().count_rows())

    def _table(self, path: str) -> Any:
        from deltalake import DeltaTable

        if not DeltaTable.is_deltatable(path):
            return None
        try:
            return DeltaTable(path)
        except Exception as error:
            reason = first_line(error)
            raise Unavailable(f"the lake {self._root} cannot be read ({reason}); run `prodml doctor`") from error


def _beyond(table: Any, batch: LakeRows) -> LakeRows:
    """The part of `batch` that lies behind what the table has recorded of its writer."""
    done = 0 if table is None else table.transaction_version(batch.writer) or 0
    if not batch.table.num_rows or pc.min(batch.table["sequence"]).as_py() >= done:
        return batch
    return LakeRows(batch.writer, batch.table.filter(pc.greater_equal(batch.table["sequence"], done)), max(done, batch.until))


def _encoding(schema: pa.Schema) -> Any:
    """Dictionaries for texts that repeat: among measured numbers few are equal, and looking for them costs most of a write.

    Compressed, since to hand twice the bytes to the disk takes longer than to compress them.
    """
    from deltalake import ColumnProperties, WriterProperties

    fields = [(field.name, field.type) for field in schema]
    nested = [(f"{name}.{each.name}", each.type) for name, kind in fields if pa.types.is_struct(kind) for each in kind]
    texts = [name for name, kind in fields + nested if pa.types.is_string(kind) and name not in ("request_id", "key")]
    return WriterProperties(
        compression="SNAPPY",
        default_column_properties=ColumnProperties(dictionary_enabled=False),
        column_properties={name: ColumnProperties(dictionary_enabled=True) for name in texts},
    )
