"""What is different in a new contract, in words, and what it would refuse of what was sent under the old one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

import numpy as np

from prodml_magics.contract.cells import is_null
from prodml_magics.contract.compare import compare
from prodml_magics.contract.schema import CodeTable, Column, Contract, Tensor

__all__ = ["Compatibility", "changes", "compatibility", "refused_rows"]

Compatibility = Literal["FULL", "BACKWARD", "FORWARD", "NONE"]


def compatibility(old: Contract, new: Contract) -> Compatibility:
    """Whether clients of `old` are served by `new` (BACKWARD), those of `new` by `old` (FORWARD), both (FULL) or neither."""
    backward, forward = not compare(old, new, "BACKWARD"), not compare(old, new, "FORWARD")
    if backward:
        return "FULL" if forward else "BACKWARD"
    return "FORWARD" if forward else "NONE"


def changes(old: Contract, new: Contract) -> tuple[str, ...]:
    """One line for each change: columns added, removed, moved or of another kind, ranges, levels, tensors, outputs, classes."""
    before, after = {c.name: c for c in old.columns}, {c.name: c for c in new.columns}
    found = [f"column {name!r} was added ({after[name].dtype})" for name in after if name not in before]
    found += [f"column {name!r} was removed" for name in before if name not in after]
    found += [f"column {name!r} {line}" for name in before if name in after for line in _column(before[name], after[name])]
    strict = {table.column: table.unseen is None for table in old.codes}
    for table in new.codes:
        if strict.get(table.column, table.unseen is None) != (table.unseen is None):
            what = "refuses" if table.unseen is None else "takes"
            found.append(f"column {table.column!r} {what} levels that it was not fitted on now")
    common = [name for name in before if name in after]
    if common != [name for name in after if name in before]:
        found.append("the columns are in another order")
    found += _tensors("input", old.inputs, new.inputs) + _tensors("output", old.outputs, new.outputs)
    if old.classes != new.classes:
        found.append(f"the classes were {_few(old.classes)} and are {_few(new.classes)}")
    return tuple(found)


def refused_rows(contract: Contract, columns: Mapping[str, np.ndarray], unknown: Collection[str] = ()) -> np.ndarray:
    """Which of recorded rows [rows] would break `contract`: numbers are float64 with NaN, texts objects with None.

    Of the columns in `unknown` no value was recorded, and none is held against them.
    """
    rows = len(next(iter(columns.values()))) if columns else 0
    if set(columns) != {column.name for column in contract.columns}:
        return np.ones(rows, np.bool_)
    refused = np.zeros(rows, np.bool_)
    for column in [column for column in contract.columns if column.name not in unknown]:
        refused |= _refused(column, columns[column.name])
    for table in [table for table in contract.codes if table.column not in unknown]:
        refused |= _of_refused_levels(table, columns[table.column])
    return refused


def _of_refused_levels(table: CodeTable, values: np.ndarray) -> np.ndarray:
    """Rows whose text the encoders of the model refuse."""
    texts = [table.null if is_null(value) else str(value) for value in values.tolist()]
    taken = {text: text in table.numbers or (table.unseen is not None and not _is_missing(table, text)) for text in set(texts)}
    return np.array([not taken[text] for text in texts], np.bool_)


def _is_missing(table: CodeTable, text: str) -> bool:
    return table.nullable and text == table.null


def _refused(column: Column, values: np.ndarray) -> np.ndarray:
    text = values.dtype.kind in "OUT"
    missing = np.array([is_null(value) for value in values.tolist()], np.bool_) if text else np.isnan(values)
    broken = missing if not column.nullable else np.zeros(len(values), np.bool_)
    if text != (column.kind == "categorical"):
        return broken | ~missing
    if column.dtype == "bool":
        broken = broken | ~(missing | (values == 0) | (values == 1))
    return broken if text else broken | np.isinf(values)


def _column(old: Column, new: Column) -> list[str]:
    if old.kind != new.kind or old.dtype != new.dtype:
        return [f"was {old.dtype} and is {new.dtype}"]
    found = []
    if old.unit != new.unit:
        found.append(f"was in {old.unit or 'no unit'} and is in {new.unit or 'no unit'}")
    if old.nullable != new.nullable:
        found.append("may be missing now" if new.nullable else "may not be missing any more")
    if old.null != new.null:
        found.append(f"has a missing value written as {new.null!r} now")
    if (old.minimum, old.maximum) != (new.minimum, new.maximum):
        found.append(f"ranged over {_range(old)} and ranges over {_range(new)}")
    added = [level for level in new.categories if level not in set(old.categories)]
    removed = [level for level in old.categories if level not in set(new.categories)]
    found += [f"has the new {_levels(added)}"] if added else []
    found += [f"lost the {_levels(removed)}"] if removed else []
    return found


def _range(column: Column) -> str:
    return "nothing" if column.minimum is None else f"{column.minimum:g} to {column.maximum:g}"


def _levels(levels: list[str]) -> str:
    return f"level{'s' if len(levels) > 1 else ''} {_few(levels)}"


def _few(values: object) -> str:
    known = [repr(value)[:40] for value in values]  # type: ignore[attr-defined]
    return ", ".join(known[:5]) + (f" and {len(known) - 5} more" if len(known) > 5 else "") if known else "none"


def _tensors(what: str, old: tuple[Tensor, ...], new: tuple[Tensor, ...]) -> list[str]:
    before, after = {t.name: t for t in old}, {t.name: t for t in new}
    found = [f"{what} {name!r} was added" for name in after if name not in before]
    found += [f"{what} {name!r} was removed" for name in before if name not in after]
    for name in before:
        if name in after and before[name] != after[name]:
            found.append(f"{what} {name!r} was {_form(before[name])} and is {_form(after[name])}")
    return found


def _form(tensor: Tensor) -> str:
    return f"{tensor.datatype} {list(tensor.shape)}"
