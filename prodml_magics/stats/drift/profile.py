"""The stored form of a reference: ``profile.arrow``, an Arrow IPC file with one row per column.

Schema metadata: ``prodml.format`` and ``prodml.extras`` (JSON). Fields: name, kind, rows, missing, dtype; of a numeric column the sorted
sample and the bin edges in the list that its dtype names, and unit; of a categorical one levels, counts and other; of any, the
calibration (five numbers), and how far other statistics move between its chunks, their names in moved and the numbers in movements.
Moments are computed when it is read, unless the sample is a sketch: then `rank_error` is above zero and the moments of all rows are
there.

Format 5 has the middle and the spread of each column in the moments of the row of kind ``rows``, whose values are over these; before they
were over the column's mean and standard deviation. Format 4 had integers beyond int64, as uint64, and the kind embedding: vectors in
values_float32, their width in counts. A text's row may have some of the texts in levels, and its parts a calibration each, and the rows of
all columns their inflation in calibration; profiles of earlier releases have none of these, and the first ones of this format no movements
and no whole rows: of these a column has its values in whole_float32 or whole_float64, or the places of its levels in whole_codes, −1 where
missing. Format 3 had neither integers beyond int64 nor embeddings; it has sketches, and rows of kind ``joint``, one per statistic of all
columns: its null table in values_float32, tolerance and width in calibration. Format 2 had neither of those, and its samples of more than
100,000 values were drawn at random. All have the kinds numeric, categorical and text; a text column is followed by its parts, numeric rows
whose ``part_of`` is its name; and at most one row of kind ``rows`` holds some rows of the numeric columns. Format 1 had neither texts nor
units nor calibrations nor rows. All of them are read.

To change it: add fields freely, readers ignore what they do not know; when one changes its meaning raise PROFILE_FORMAT, keep reading
every older format, and keep a file of the old one under tests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prodml_magics.errors import InvalidInput, Unsupported
from prodml_magics.stats.drift.calibration import Calibration, Variability
from prodml_magics.stats.drift.joint.calibration import JointCalibration
from prodml_magics.stats.drift.joint.rows import JointRows
from prodml_magics.stats.drift.reference import (
    Column,
    EmbeddingColumn,
    LevelColumn,
    NumericColumn,
    Reference,
    TextColumn,
    moments,
)

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["PROFILE_FORMAT", "from_arrow", "to_arrow"]

PROFILE_FORMAT = 5

_DTYPES = ("float32", "float64", "int64", "uint64")


def _schema(metadata: Mapping[str, str]) -> pa.Schema:
    import pyarrow as pa

    text, whole, number = pa.string(), pa.int64(), pa.float64()
    fields = {"name": text, "kind": text, "rows": whole, "missing": whole, "dtype": text}
    fields |= {f"values_{name}": pa.large_list(pa.type_for_alias(name)) for name in _DTYPES}
    fields |= {f"edges_{name}": pa.list_(pa.type_for_alias(name)) for name in _DTYPES}
    fields |= {"levels": pa.list_(text), "counts": pa.list_(whole), "other": whole, "part_of": text, "unit": text}
    fields |= {"calibration": pa.list_(number), "rank_error": number, "moments": pa.list_(number)}
    fields |= {"moved": pa.list_(text), "movements": pa.list_(number)}
    fields |= {"whole_float32": pa.large_list(pa.float32()), "whole_float64": pa.large_list(number)}
    fields |= {"whole_codes": pa.large_list(pa.int32())}
    return pa.schema(fields, metadata=metadata)


def to_arrow(reference: Reference) -> bytes:
    """The bytes of ``profile.arrow``; `from_arrow` gives the same reference back."""
    import pyarrow as pa

    metadata = {"prodml.format": str(PROFILE_FORMAT), "prodml.extras": json.dumps(dict(reference.extras), allow_nan=False)}
    schema = _schema(metadata)
    batches = [batch for name, column in reference.columns.items() for batch in _batches(name, column, schema, reference.whole)]
    if reference.rows is not None:
        batches.append(_batch(_rows_of(reference.rows), schema))
    batches += [_batch(_joint_row(name, known), schema) for name, known in reference.joint.items()]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def _batches(name: str, column: Column, schema: pa.Schema, whole: Mapping[str, NDArray[Any]]) -> list[pa.RecordBatch]:
    """One row, and behind a text column one per part."""
    row: dict[str, Any] = {"name": name, "rows": column.rows, "missing": column.missing}
    row |= _calibration_row(column)
    row |= _whole_row(column, whole[name]) if name in whole else {}
    if isinstance(column, TextColumn):
        row["levels"] = list(column.texts)
        parts = [_batch(part | {"part_of": name}, schema) for part in map(_numeric_row, column.parts, column.parts.values())]
        return [_batch(row | {"kind": "text"}, schema), *parts]
    if isinstance(column, NumericColumn):
        return [_batch(row | _numeric_row(name, column), schema)]
    if isinstance(column, EmbeddingColumn):
        vectors = {"values_float32": column.values.ravel(), "counts": [column.values.shape[1]]}
        return [_batch(row | {"kind": "embedding"} | vectors, schema)]
    row |= {"kind": "categorical", "levels": list(column.levels), "counts": column.counts, "other": column.other}
    return [_batch(row, schema)]


def _whole_row(column: Column, values: NDArray[Any]) -> dict[str, Any]:
    if not isinstance(column, LevelColumn):
        return {f"whole_{values.dtype}": values}
    places = {level: place for place, level in enumerate(column.levels)}
    return {"whole_codes": np.array([-1 if value is None else places[value] for value in values.tolist()], np.int32)}


def _rows_of(rows: JointRows) -> dict[str, Any]:
    return {
        "name": "",
        "kind": "rows",
        "levels": list(rows.names),
        "rows": len(rows.values),
        "calibration": [rows.inflation],
        "moments": [number for scale in rows.scales for number in scale],
        "values_float32": rows.values.ravel(),
    }


def _joint_row(name: str, known: JointCalibration) -> dict[str, Any]:
    numbers = [known.tolerance, known.width]
    return {"name": name, "kind": "joint", "values_float32": known.null, "calibration": numbers}


def _numeric_row(name: str, column: NumericColumn) -> dict[str, Any]:
    dtype = str(column.values.dtype)
    values = {f"values_{dtype}": column.values, f"edges_{dtype}": column.edges}
    sizes = {"name": name, "rows": column.rows, "missing": column.missing}
    sketch = {"rank_error": column.rank_error, "moments": [column.mean, column.sd]} if column.rank_error else {}
    return {"kind": "numeric", "dtype": dtype, "unit": column.unit, **sizes, **values, **sketch, **_calibration_row(column)}


def _calibration_row(column: Column) -> dict[str, Any]:
    found = column.calibration
    if found is None:
        return {}
    row: dict[str, Any] = {"calibration": [*found.values, *found.missing, float(found.rows)]}
    return row | ({"moved": list(found.movements), "movements": list(found.movements.values())} if found.movements else {})


def _batch(row: dict[str, Any], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.record_batch([pa.array([row.get(field.name)], type=field.type) for field in schema], schema=schema)


def from_arrow(data: bytes) -> Reference:
    """Read ``profile.arrow``; raises InvalidInput for anything else and Unsupported for a later format than this one."""
    import pyarrow as pa

    try:
        table = pa.ipc.open_file(pa.BufferReader(data)).read_all()
    except pa.ArrowInvalid as error:
        raise InvalidInput(f"not a profile: {error}; register the model again to make one") from error
    metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    _check_format(metadata.get("prodml.format", ""))
    kinds = table["kind"].to_pylist()
    joint = {str(table["name"][i]): _joint_calibration(table, i) for i, kind in enumerate(kinds) if kind == "joint"}
    columns = _columns(table)
    rows = _joint_rows(table, kinds.index("rows"), columns) if "rows" in kinds else None
    whole = {
        name: values for i, name in enumerate(table["name"].to_pylist()) if (values := _whole(table, i, columns)) is not None
    }
    return Reference(columns, json.loads(metadata.get("prodml.extras", "{}")), rows, joint, whole)


def _whole(table: pa.Table, i: int, columns: Mapping[str, Column]) -> NDArray[Any] | None:
    for kind in ("float32", "float64", "int32"):
        field = "whole_codes" if kind == "int32" else f"whole_{kind}"
        if field in table.column_names and table[field][i].is_valid:
            values, column = _array(table[field][i], kind), columns[str(table["name"][i])]
            return np.array([*column.levels, None], dtype=object)[values] if isinstance(column, LevelColumn) else values
    return None


def _joint_calibration(table: pa.Table, i: int) -> JointCalibration:
    tolerance, width = _cell(table, "calibration", i)
    return JointCalibration(tolerance, width, _array(table["values_float32"][i], "float32"))


def _joint_rows(table: pa.Table, i: int, columns: Mapping[str, Column]) -> JointRows:
    names = tuple(_cell(table, "levels", i))
    (inflation,) = _cell(table, "calibration", i) or (1.0,)
    numbers = _cell(table, "moments", i)
    if numbers is None:
        numbers = [number for name in names for number in (columns[name].mean, columns[name].sd)]  # type: ignore[union-attr]
    scales = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    return JointRows(names, _array(table["values_float32"][i], "float32").reshape(-1, len(names)), scales, inflation)


def _columns(table: pa.Table) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for i in range(table.num_rows):
        if _cell(table, "kind", i) in ("rows", "joint"):
            continue
        name, owner = str(table["name"][i]), _cell(table, "part_of", i)
        part = _column(table, i)
        text = columns.get(owner or "")
        if isinstance(text, TextColumn) and isinstance(part, NumericColumn):
            columns[owner] = text._replace(parts={**text.parts, name: part})
        else:
            columns[name] = part
    return columns


def _check_format(version: str) -> None:
    if not version.isdecimal():
        raise InvalidInput("an Arrow file, but not a profile: it names no format; register the model again to make one")
    if int(version) > PROFILE_FORMAT:
        raise Unsupported(f"profile format {version} is later than {PROFILE_FORMAT}, the last known here; upgrade prodml-magics")


def _column(table: pa.Table, i: int) -> Column:
    kind, sizes = _cell(table, "kind", i), (_cell(table, "rows", i), _cell(table, "missing", i))
    calibration = _calibration(_cell(table, "calibration", i))
    if calibration is not None and (moved := _cell(table, "moved", i)):
        calibration = calibration._replace(movements=dict(zip(moved, _cell(table, "movements", i), strict=True)))
    if kind == "text":
        return TextColumn(*sizes, {}, calibration, tuple(_cell(table, "levels", i) or ()))
    if kind == "embedding":
        (width,) = _cell(table, "counts", i)
        return EmbeddingColumn(*sizes, _array(table["values_float32"][i], "float32").reshape(-1, width), calibration)
    if kind == "categorical":
        counts = _array(table["counts"][i], "int64")
        return LevelColumn(*sizes, tuple(_cell(table, "levels", i)), counts, _cell(table, "other", i), calibration)
    dtype = _cell(table, "dtype", i)
    values, edges = (_array(table[f"{part}_{dtype}"][i], dtype) for part in ("values", "edges"))
    error = _cell(table, "rank_error", i) or 0.0
    mean, sd = _cell(table, "moments", i) if error else moments(values)
    unit = _cell(table, "unit", i) or ""
    return NumericColumn(*sizes, values, edges, mean, sd, unit=unit, calibration=calibration, rank_error=error)


def _cell(table: pa.Table, name: str, i: int) -> Any:
    """A value, None where it is null or the format did not have the field."""
    return table[name][i].as_py() if name in table.column_names else None


def _calibration(numbers: list[float] | None) -> Calibration | None:
    if numbers is None:
        return None
    return Calibration(Variability(*numbers[:2]), Variability(*numbers[2:4]), int(numbers[4]))


def _array(cell: pa.Scalar, dtype: str) -> NDArray[Any]:
    return np.asarray(cell.values.to_numpy(zero_copy_only=False), dtype=dtype)
