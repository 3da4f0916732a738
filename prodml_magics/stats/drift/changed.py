"""What needs no test: columns that only one side has, and columns that hold another kind of values than the reference's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

from prodml_magics.errors import InvalidInput
from prodml_magics.stats.drift.arrays import is_missing
from prodml_magics.stats.drift.columns import as_levels, is_numeric, is_vectors
from prodml_magics.stats.drift.reference import Column, EmbeddingColumn, LevelColumn, NumericColumn, TextColumn
from prodml_magics.stats.drift.text import is_text

__all__ = [
    "NEW",
    "VANISHED",
    "Changed",
    "another_kind",
    "check_common",
    "kind_of",
    "new_column",
    "no_longer",
    "no_number",
    "vanished_column",
]

VANISHED = "column vanished"
NEW = "new column"

_KINDS = {NumericColumn: "numeric", LevelColumn: "categorical", TextColumn: "text", EmbeddingColumn: "embedding"}
_UNITS = {"": "numbers", "date": "dates", "duration": "durations"}
_DTYPES = {"M": "dates", "m": "durations", "b": "booleans", "c": "complex numbers", "V": "records", "U": "text", "S": "text"}
_DTYPES |= {"O": "objects"}


class Changed(NamedTuple):
    """A column that is not compared: its kind, the rows of both sides with the missing ones among them, and what is told of it.

    `drifted` is None where neither side can be compared, so that nobody knows.
    """

    kind: str
    rows: tuple[int, int]
    missing: tuple[int, int]
    reason: str
    drifted: bool | None = True


def kind_of(column: Column) -> str:
    """``numeric``, ``categorical``, ``text`` or ``embedding``."""
    return _KINDS[type(column)]


def vanished_column(column: Column) -> Changed:
    """A column of the reference that now is nowhere."""
    return Changed(kind_of(column), (column.rows, 0), (column.missing, 0), VANISHED)


def new_column(name: str, values: NDArray[Any]) -> Changed:
    """A column that the reference does not have, from its values now."""
    return Changed(_kind_of_values(name, values), (0, len(values)), (0, _gaps(values)), NEW)


def no_longer(column: Column, values: NDArray[Any], reason: str) -> Changed:
    """A column of both sides whose values now cannot be held against the reference's."""
    return Changed(kind_of(column), (column.rows, len(values)), (column.missing, _gaps(values)), reason)


def another_kind(column: Column, values: NDArray[Any]) -> str:
    """Why values cannot be held against a reference column, told from their dtype; empty where nothing speaks against it yet.

    Categories may be anything that can be spelled, and booleans are numbers.
    """
    if not len(values) or isinstance(column, EmbeddingColumn):
        return ""
    held, holds = _held(column), _holds(values)
    if holds == held:
        return ""
    if isinstance(column, NumericColumn):
        numbers = ("objects", "booleans") if held == "numbers" else ("objects",)
        return "" if holds in numbers else _told(held, holds, values)
    if isinstance(column, TextColumn) and holds in ("numbers", "dates", "durations", "booleans"):
        return _told(held, holds, values)
    return _told(held, holds, values) if holds == "vectors" else ""


def no_number(column: Column, values: NDArray[Any]) -> str:
    """The same of objects that turned out to be no numbers."""
    return _told(_held(column), "vectors" if is_vectors(values) else "values", values)


def _told(held: str, holds: str, values: NDArray[Any]) -> str:
    stranger = _stranger(values) if holds in ("text", "values") else None
    holds = "text" if isinstance(stranger, str) else holds
    example = "" if stranger is None else f" such as {_shortened(stranger)}"
    return f"held {held} in the reference and holds {holds}{example} now"


def check_common(reference: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    """Refuse two sides that have nothing to compare."""
    if (not reference and not current) or any(name in current for name in reference):
        return
    told = "; ".join(f"{side} has {_named(list(names))}" for side, names in (("the reference", reference), ("now", current)))
    raise InvalidInput(f"no column is on both sides: {told}; rename the columns of one of them")


def _named(names: list[str]) -> str:
    return (", ".join(repr(name) for name in names[:4]) or "none") + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _held(column: Column) -> str:
    if isinstance(column, NumericColumn):
        return _UNITS[column.unit]
    return {LevelColumn: "categories", TextColumn: "text", EmbeddingColumn: "vectors"}[type(column)]


def _holds(values: NDArray[Any]) -> str:
    """What values are by their dtype."""
    if values.ndim > 1:
        return "vectors"
    return _DTYPES.get(values.dtype.kind, "numbers")


def _stranger(values: NDArray[Any]) -> Any:
    """The first present value that is no number, else the first one."""
    for value in values.tolist():
        try:
            if not is_missing(value):
                float(value)
        except (TypeError, ValueError, OverflowError):
            return value
    return values.tolist()[0]


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 24 else f"{text[:23]}…"


def _kind_of_values(name: str, values: NDArray[Any]) -> str:
    if is_vectors(values):
        return "embedding"
    if values.ndim > 1 or values.dtype.kind in "bcV":
        return "categorical"
    if is_numeric(name, values):
        return "numeric"
    found = as_levels(values)
    return "text" if is_text(len(found.levels), int(found.counts.sum())) else "categorical"


def _gaps(values: NDArray[Any]) -> int:
    if values.ndim > 1:
        return 0
    if values.dtype.kind in "fcMm":
        return int((values != values).sum())
    return sum(map(is_missing, values.tolist())) if values.dtype.kind == "O" else 0
