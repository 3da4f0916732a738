"""What was given, as columns: numbers or levels, with the missing values counted and set aside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from prodml_magics.errors import InvalidInput

__all__ = [
    "Levels",
    "Numbers",
    "Texts",
    "as_levels",
    "as_numbers",
    "as_rows",
    "as_texts",
    "chunked_levels",
    "is_numeric",
    "named_columns",
]


class Numbers(NamedTuple):
    """The present values of a numeric column, unsorted: float32, float64 or int64 [rows − missing]."""

    values: NDArray[Any]
    rows: int
    unit: str = ""
    """``date`` where the values are seconds since 1970, ``duration`` where they are seconds, else empty."""


class Levels(NamedTuple):
    """The levels of a categorical column, most frequent first, with their counts; missing values are in neither."""

    levels: tuple[str, ...]
    counts: NDArray[np.int64]
    rows: int


class Texts(NamedTuple):
    """The present values of a text column by the numbers that describe them, each float32 [rows − missing]."""

    parts: Mapping[str, NDArray[Any]]
    rows: int


def named_columns(x: Any, names: Sequence[str] | None, *, equal: bool = True) -> dict[str, NDArray[Any]]:
    """Split an array [rows, columns], a mapping or a frame into 1-D arrays by name, of one length unless not `equal`."""
    if isinstance(x, Mapping):
        columns = {str(name): np.asarray(values) for name, values in x.items()}
    elif hasattr(x, "columns") and hasattr(x, "__getitem__"):
        columns = {str(name): np.asarray(x[name]) for name in x.columns}
    else:
        columns = _split(np.asarray(x), names)
    _check_shapes(columns)
    if equal:
        _check_lengths(columns)
    return columns


def _split(x: NDArray[Any], names: Sequence[str] | None) -> dict[str, NDArray[Any]]:
    if x.ndim != 2:
        raise InvalidInput(f"an array of shape {x.shape} has no columns; give [rows, columns] or a mapping of name to values")
    names = [f"x{i}" for i in range(x.shape[1])] if names is None else list(names)
    if len(names) != x.shape[1]:
        raise InvalidInput(f"{x.shape[1]} columns for {len(names)} names; give one name per column")
    if len(set(names)) < len(names):
        raise InvalidInput("two columns have one name; make the names unique")
    return {str(name): x[:, i] for i, name in enumerate(names)}


def _check_shapes(columns: Mapping[str, NDArray[Any]]) -> None:
    for name, values in columns.items():
        if values.ndim != 1:
            raise InvalidInput(f"column '{name}' has shape {values.shape}; give one value per row")


def _check_lengths(columns: Mapping[str, NDArray[Any]]) -> None:
    lengths = {len(values): name for name, values in columns.items()}
    if len(lengths) > 1:
        (one, first), (other, second) = list(lengths.items())[:2]
        raise InvalidInput(f"column '{first}' has {one} rows and '{second}' has {other}; give columns of one length")


def is_numeric(name: str, values: NDArray[Any]) -> bool:
    """Numbers, dates and durations are numeric; booleans, strings and everything else are levels."""
    if values.dtype.kind in "cV":
        raise InvalidInput(f"column '{name}' holds {values.dtype}, which has no order; give its parts as columns of their own")
    if values.dtype.kind != "O":
        return values.dtype.kind in "iufMm"
    present = _present(values)
    return bool(present) and all(
        isinstance(value, (int, float, Decimal, np.number)) and not isinstance(value, bool) for value in present
    )


def as_numbers(name: str, values: NDArray[Any]) -> Numbers:
    """Read a numeric column; dates and durations become seconds (since 1970), at a resolution of about 1e-6 s."""
    rows, unit = len(values), {"M": "date", "m": "duration"}.get(values.dtype.kind, "")
    if values.dtype.kind == "O":
        values = _numbers_of_objects(name, values)
    elif values.dtype.kind in "Mm":
        values = _seconds(values)
    elif values.dtype.kind not in "biuf":
        raise InvalidInput(f"column '{name}' was numeric in the reference and holds {values.dtype} now; convert it to numbers")
    values = _plain(values)
    if values.dtype.kind == "f" and (gaps := np.isnan(values)).any():
        values = values[~gaps]
    return Numbers(values, rows, unit)


def as_rows(values: NDArray[Any]) -> NDArray[np.float64]:
    """A numeric column row by row as float64, NaN where missing; dates and durations as seconds."""
    if values.dtype.kind in "Mm":
        return _seconds(values)
    if values.dtype.kind != "O":
        return values.astype(np.float64)
    return np.array([np.nan if _is_missing(value) else float(value) for value in values.tolist()])


def _numbers_of_objects(name: str, values: NDArray[Any]) -> NDArray[Any]:
    present = _present(values)
    try:
        numbers = np.array(present)
        return numbers if numbers.dtype.kind in "biuf" else np.array([float(value) for value in present])
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"column '{name}' was numeric in the reference; its values now are not numbers: {error}") from error


def _seconds(values: NDArray[Any]) -> NDArray[np.float64]:
    unit = f"{values.dtype.kind}8[us]"
    seconds = values.astype(unit).astype(np.int64) / 1e6
    seconds[np.isnat(values)] = np.nan
    return seconds


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """One of float32, float64, int64, exactly; unsigned integers beyond int64 and longer floats are rounded to float64."""
    if values.dtype.kind in "biu":
        fits = values.dtype != np.uint64 or not len(values) or values.max() <= np.iinfo(np.int64).max
        return values.astype(np.int64 if fits else np.float64)
    return values.astype(np.float32 if values.dtype.itemsize <= 4 else np.float64, copy=False)


def as_levels(values: NDArray[Any], known: Iterable[str] = ()) -> Levels:
    """Count the levels of a column; `known` are the reference's: 0 and 1 are read as False and True where those are meant."""
    text = _text(values)
    if set(known) and set(known) <= {"False", "True"}:
        text = [{"0": "False", "1": "True"}.get(value, value) for value in text]
    counted = pc.value_counts(pa.array(text, type=pa.string()).drop_null())
    levels, counts = counted.field("values").to_pylist(), counted.field("counts").to_numpy()
    order = sorted(range(len(levels)), key=lambda i: (-counts[i], levels[i]))
    return Levels(tuple(levels[i] for i in order), counts[order].astype(np.int64), len(values))


def as_texts(values: NDArray[Any]) -> list[str]:
    """The present values of a column as texts."""
    texts: list[str] = pa.array(_text(values), type=pa.string()).drop_null().to_pylist()
    return texts


def chunked_levels(values: NDArray[Any], chunks: int) -> NDArray[np.int64]:
    """Counts int64 [chunks, levels] of consecutive, equally long chunks of a column; missing values count nowhere."""
    encoded = pa.array(_text(values), type=pa.string()).dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    chunk = np.arange(len(codes)) * chunks // len(codes)
    width = max(1, len(encoded.dictionary))
    counted = np.bincount((chunk * width + codes)[codes >= 0], minlength=chunks * width)
    return counted.reshape(chunks, width)


def _text(values: NDArray[Any]) -> Any:
    if values.dtype.kind == "U":
        return values
    if values.dtype.kind == "O":
        try:
            return pa.array(values, type=pa.string(), from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError):
            pass
    return [None if _is_missing(value) else _spelled(value) for value in values.tolist()]


def _spelled(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).encode("utf-8", "replace").decode()


def _present(values: NDArray[Any]) -> list[Any]:
    return [value for value in values.tolist() if not _is_missing(value)]


def _is_missing(value: Any) -> bool:
    """None, NaN, NaT and pandas' NA, the only common values that differ from themselves or refuse to compare."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.generic)) and bool(value != value)
