"""%labels: what the truth was about answered rows, appended to the lake and joined whenever it is asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from prodml_magics.actions.frames import as_columns
from prodml_magics.actions.results import LabelsResult
from prodml_magics.actions.services import Services
from prodml_magics.actions.workspace import Workspace
from prodml_magics.contract.schema import Contract
from prodml_magics.errors import InvalidInput, NotFound
from prodml_magics.storage.labels import METRIC, SERVED, LabelStore, assigned, with_labels
from prodml_magics.wire.names import check_name
from prodml_magics.wire.requests import Labels
from prodml_magics.wire.results import LabelsRecord

if TYPE_CHECKING:
    import polars as pl

__all__ = ["class_texts", "labels"]

_COLUMNS = ("request_id", "label", "row", "labelled_at")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}")
_AHEAD = timedelta(minutes=5)
_MOST_ROW = 2**31 - 1


def labels(workspace: Workspace, request: Labels) -> LabelsResult:
    """Append the labels of a frame; without one, count the rows that have a label."""
    name = check_name(request.model)
    versions = workspace.versions(name)
    if not versions:
        raise NotFound(f"no model {name} is registered in {workspace.home}; register it with %register")
    services = Services(workspace)
    down = services.drain() is None
    if request.frame is None:
        return LabelsResult(_counted(workspace, name))
    contract = workspace.contract(name, workspace.route(name).live or versions[-1])
    frame, strange = _read(as_columns(request.frame, "label frame"), name, contract, workspace.clock.now())
    store = LabelStore(workspace.lake)
    earlier = store.frame(name)
    found = _assigned(store, name, frame)
    store.append(name, frame.to_arrow())
    unknown = int(found["sequence"].is_null().sum())
    return LabelsResult(
        LabelsRecord(
            model=name,
            taken=frame.height,
            matched=frame.height - unknown,
            unknown=unknown,
            ambiguous=int((found["bear"] > 1).sum()),
            corrected=_repeated(frame, earlier),
            warnings=_warnings(name, found, contract, strange, down),
        )
    )


def _counted(workspace: Workspace, name: str) -> LabelsRecord:
    columns = ("request_id", "row", "received_at", "writer", "sequence")
    rows = workspace.lake.rows(name, arms=SERVED, statuses=None, columns=columns)
    labelled = with_labels(rows, LabelStore(workspace.lake).frame(name)) if rows.height else rows
    return LabelsRecord(model=name, taken=0, served=rows.height, labelled=labelled.height)


def _assigned(store: LabelStore, name: str, frame: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    rows = store.requests(name, frame)
    if rows is None:
        return frame.with_columns(sequence=pl.lit(None, pl.Int64), bear=pl.lit(None, pl.Int64))
    return assigned(frame, rows)


def _repeated(frame: pl.DataFrame, earlier: pl.DataFrame | None) -> int:
    """Labels of a row that had one before, in this frame or in an earlier one."""
    import polars as pl

    within = frame.height - frame.select("request_id", "row").unique().height
    if earlier is None:
        return within
    given = [name for name in ("label", *(each for each in frame.columns if each.startswith(METRIC))) if frame[name].count()]
    before = [name for name in given if name in earlier.columns]
    if not before:
        return within
    known = earlier.filter(pl.any_horizontal(pl.col(before).is_not_null())).select("request_id", "row").unique()
    return within + frame.select("request_id", "row").unique().join(known, on=["request_id", "row"], how="semi").height


def _warnings(name: str, found: pl.DataFrame, contract: Contract, strange: Sequence[str], down: bool) -> tuple[str, ...]:
    said = []
    missing = found.filter(found["sequence"].is_null())
    if missing.height:
        shown = ", ".join(ascii(each)[1:-1][:40] for each in missing["request_id"].head(3).to_list())
        why = "the controller is down and may know them later; start it with %up" if down else "are these the ids of its answers?"
        said.append(f"{missing.height:,} of {found.height:,} labels are of no request of {name} that is known ({shown}); {why}")
    repeated = int((found["bear"] > 1).sum())
    if repeated:
        said.append(
            f"{repeated:,} labels have an id that several requests bear and go to the newest; send x-request-id, a new one each time"
        )
    if strange:
        classes = ", ".join(dict.fromkeys(class_texts(contract).values()))
        said.append(f"{len(strange):,} labels are no class of the model, such as {ascii(strange[0])[:40]}; classes are {classes}")
    return tuple(said)


def _read(columns: dict[str, np.ndarray], name: str, contract: Contract, now: datetime) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The frame as it is kept, and the labels in it that are no class of the model."""
    import polars as pl

    metrics = [column for column in columns if column not in _COLUMNS]
    for needed in ("request_id",) if metrics else ("request_id", "label"):
        if needed not in columns:
            shown = ", ".join(list(columns)[:8])
            raise InvalidInput(
                f"the label frame has no column {needed}, only {shown}; give request_id and label, and row if need be"
            )
    count = len(columns["request_id"])
    if not count:
        raise InvalidInput("the label frame has no rows; give at least one")
    values, strange = _labels(columns["label"], name, contract) if "label" in columns else ([None] * count, ())
    numeric = contract.task != "classification" or not contract.classes
    moment = pl.Datetime("us", "UTC")
    frame = pl.DataFrame(
        {
            "request_id": _ids(columns["request_id"]),
            "row": _rows(columns["row"]) if "row" in columns else np.zeros(count, np.int32),
            "label": values,
            "labelled_at": _moments(columns["labelled_at"], now) if "labelled_at" in columns else [now] * count,
            "noted_at": [now] * count,
        }
        | {METRIC + column: _metric(column, columns[column]) for column in metrics},
        schema_overrides={"label": pl.Float64 if numeric else pl.String, "labelled_at": moment, "noted_at": moment},
    )
    return frame, strange


def _metric(column: str, values: np.ndarray) -> pl.Series:
    """A further column: a number for each row; null where there is none yet."""
    import polars as pl

    if not _NAME.fullmatch(column):
        raise InvalidInput(
            f"the label frame has a column {ascii(column)[:60]}; a metric is named by letters, digits and _, so rename it"
        )
    cells = [None if value is None or value != value else value for value in values.tolist()]
    for row, value in enumerate(cells):
        if value is not None and not (isinstance(value, bool | int | float) and np.isfinite(value)):
            raise InvalidInput(
                f"{column} in row {row} is {ascii(value)[:40]}; columns beside {', '.join(_COLUMNS)} are metrics: give numbers"
            )
    return pl.Series([None if value is None else float(value) for value in cells], dtype=pl.Float64)


def _ids(values: np.ndarray) -> list[str]:
    cells = values.tolist()
    for row, value in enumerate(cells):
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise InvalidInput(f"request_id in row {row} is {ascii(value)[:40]}; give the id of the answer as text")
    return [str(value) for value in cells]


def _rows(values: np.ndarray) -> np.ndarray:
    cells = values.tolist()
    for row, value in enumerate(cells):
        whole = not isinstance(value, bool) and isinstance(value, int | float) and value == value // 1
        if not whole or not 0 <= value <= _MOST_ROW:
            raise InvalidInput(f"row in row {row} is {ascii(value)[:40]}; give the place of the row in its request, from 0 on")
    return np.array(cells, np.int32)


def class_texts(contract: Contract) -> dict[str | float, str]:
    """Class → text as ``outputs.label`` of the lake has it, by text and by number, so that 1, 1.0 and "1" mean one class."""
    datatype = next((tensor.datatype for tensor in contract.outputs if tensor.name == "label"), "BYTES")
    found: dict[str | float, str] = {}
    for each in contract.classes:
        numeric = not isinstance(each, str)
        text = str(bool(each)) if datatype == "BOOL" else str(int(each)) if numeric and "INT" in datatype else str(each)
        found |= {str(each): text} | ({float(each): text} if not isinstance(each, str) else {})
    return found


def _labels(values: np.ndarray, name: str, contract: Contract) -> tuple[list[Any], tuple[str, ...]]:
    cells = values.tolist()
    for row, value in enumerate(cells):
        if value is None or value != value:
            raise InvalidInput(f"label in row {row} is missing; leave out rows that have no label yet")
    if contract.task != "classification" or not contract.classes:
        return [_number(row, value) for row, value in enumerate(cells)], ()
    known = class_texts(contract)
    found = [known.get(value if isinstance(value, str) else _float(value)) for value in cells]
    strange = tuple(str(value) for value, text in zip(cells, found, strict=True) if text is None)
    if len(strange) == len(cells):
        classes = ", ".join(dict.fromkeys(known.values()))
        raise InvalidInput(f"no label is a class of {name}, the first is {ascii(strange[0])[:40]}; classes are {classes}")
    return [str(value) if text is None else text for value, text in zip(cells, found, strict=True)], strange


def _float(value: Any) -> Any:
    return float(value) if isinstance(value, bool | int | float) else value


def _number(row: int, value: Any) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = float("nan")
    if not np.isfinite(found):
        raise InvalidInput(f"label in row {row} is {ascii(value)[:40]}; the model predicts numbers, so give a finite number")
    return found


def _moments(values: np.ndarray, now: datetime) -> list[datetime]:
    if values.dtype.kind == "M":
        values = values.astype("datetime64[us]")
    return [_moment(row, value, now) for row, value in enumerate(values.tolist())]


def _moment(row: int, value: Any, now: datetime) -> datetime:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
        at = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, AttributeError, TypeError) as error:
        raise InvalidInput(f"labelled_at in row {row} is {ascii(value)[:40]}; give a time such as 2026-11-23T14:00") from error
    if at > now + _AHEAD:
        raise InvalidInput(
            f"labelled_at in row {row} lies in the future ({at:%Y-%m-%d %H:%M} UTC); give times in UTC or with a zone"
        )
    return at
