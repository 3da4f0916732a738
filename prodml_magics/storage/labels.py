"""Labels: what the truth was about answered rows. Appended, never changed, and joined to requests when they are read.

Columns of ``labels/MODEL`` (format 1):

    request_id, row    as in ``requests/MODEL``; clients choose ids, so several requests may bear one
    label              text of the class, as the lake's ``outputs.label`` has it; float64 for models that predict numbers; null where
                       only metrics were given
    metric_NAME        float64, one column for each further column that was ever given (``metric_revenue``); null where it was not
    labelled_at        when the truth was known, UTC: of several labels of a row the latest holds
    noted_at           when it was appended, UTC; decides between labels of one moment

A label belongs to the newest request of its id that had come when it was noted, so that a later request with the same id takes
nothing away from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from prodml_magics.errors import InvalidInput, Unavailable, first_line

if TYPE_CHECKING:
    import polars as pl

    from prodml_magics.storage.lake import Lake

__all__ = ["METRIC", "SERVED", "LabelStore", "assigned", "with_labels"]

SERVED = ("live", "canary", "fallback", "direct", "cache")
"""Arms that answered somebody."""

METRIC = "metric_"
"""What the columns of metrics begin with."""

_RETRIES = 5
_IDENTITY = ("request_id", "row", "received_at", "writer", "sequence")


class LabelStore:
    """The labels of a lake."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def version(self, model: str) -> int:
        """A number that grows with every append; -1 without labels."""
        table = self._lake.table(self._lake.labels(model))
        return -1 if table is None else int(table.version())

    def append(self, model: str, table: pa.Table) -> None:
        """Append labels; raises `InvalidInput` when they are of another kind than those that are there."""
        from deltalake import write_deltalake
        from deltalake.exceptions import CommitFailedError

        path = self._lake.labels(model)
        if "://" not in path:
            Path(path).mkdir(parents=True, exist_ok=True)
        for attempt in range(_RETRIES):
            there = self._lake.table(path)
            if there is not None:
                _refuse_other_kind(model, there, table)
            try:
                write_deltalake(path if there is None else there, table, mode="append", schema_mode="merge")
                return
            except CommitFailedError as error:
                if attempt == _RETRIES - 1:
                    raise Unavailable(f"the labels of {model} are being written by others all the time; try again") from error
            except Exception as error:
                reason = first_line(error)
                raise Unavailable(f"the lake {path} cannot be written ({reason}); check space and permissions") from error

    def frame(self, model: str) -> pl.DataFrame | None:
        """Every label that was ever given, in the order in which they were noted; none when there is none."""
        import polars as pl

        table = self._lake.table(self._lake.labels(model))
        return None if table is None else pl.scan_delta(table).collect().sort("noted_at", maintain_order=True)

    def requests(self, model: str, labels: pl.DataFrame) -> pl.DataFrame | None:
        """The answered rows that `labels` may be about; none when nothing was ever answered."""
        import polars as pl

        table = self._lake.table(self._lake.requests(model))
        if table is None:
            return None
        rows = pl.scan_delta(table).filter(pl.col("arm").is_in(SERVED)).select(_IDENTITY)
        return rows.join(labels.lazy().select("request_id").unique(), on="request_id", how="semi").collect()


def _refuse_other_kind(model: str, there: object, table: pa.Table) -> None:
    kept = pa.schema(there.schema().to_arrow()).field("label").type  # type: ignore[attr-defined]
    if pa.types.is_floating(kept) != pa.types.is_floating(table.schema.field("label").type):
        was, now = ("numbers", "text") if pa.types.is_floating(kept) else ("text", "numbers")
        raise InvalidInput(f"the labels of {model} are {was} so far, these are {now}; give them as {was}")


def assigned(labels: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """`labels` with the ``writer`` and ``sequence`` of the row that each is about (null: unknown), and how many ``bear`` its id.

    `rows` are answered rows with ``request_id, row, received_at, writer, sequence``.
    """
    import polars as pl

    known = rows.select(_IDENTITY).sort("received_at", maintain_order=True)
    known = known.with_columns(bear=pl.int_range(1, pl.len() + 1).over("request_id", "row"))
    ordered = labels.with_columns(pl.col("row").cast(known.schema["row"])).sort("noted_at", maintain_order=True)
    return ordered.join_asof(
        known,
        left_on="noted_at",
        right_on="received_at",
        by=["request_id", "row"],
        strategy="backward",
        coalesce=False,
        check_sortedness=False,
    )


def with_labels(
    rows: pl.DataFrame, labels: pl.DataFrame | None, *, keep: Literal["latest", "first"] = "latest", column: str = "label"
) -> pl.DataFrame:
    """`rows` that have a label, with ``label, labelled_at, noted_at``: the latest, or the one that was noted first.

    With another `column` of the labels, such as ``metric_revenue``, that takes the place of the label.
    """
    import polars as pl

    if labels is None or column not in labels.columns or rows.is_empty():
        return _nothing(rows, column)
    given = labels.select("request_id", "row", column, "labelled_at", "noted_at").filter(pl.col(column).is_not_null())
    if given.is_empty():
        return _nothing(rows, column)
    found = assigned(given, rows).filter(pl.col("sequence").is_not_null())
    order = ("labelled_at", "noted_at") if keep == "latest" else ("noted_at",)
    chosen = found.sort(order, maintain_order=True).unique(
        ["writer", "sequence"], keep="last" if keep == "latest" else "first", maintain_order=True
    )
    return rows.join(chosen.select("writer", "sequence", column, "labelled_at", "noted_at"), on=["writer", "sequence"])


def _nothing(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    import polars as pl

    moment = pl.Datetime("us", "UTC")
    kind = pl.String if column == "label" else pl.Float64
    return rows.clear().with_columns(
        pl.lit(None, kind).alias(column), labelled_at=pl.lit(None, moment), noted_at=pl.lit(None, moment)
    )
