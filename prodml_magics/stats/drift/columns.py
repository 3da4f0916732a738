"""What was given, as columns: numbers or levels, with the missing values counted and set aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.errors import InvalidInput
from prodml_magics.stats.drift.arrays import as_array, is_missing

__all__ = [
    "Levels",
    "Numbers",
    "Texts",
    "Vectors",
    "as_levels",
    "as_numbers",
    "as_rows",
    "as_texts",
    "as_vectors",
    "check_shape",
    "chunked_levels",
    "is_numeric",
    "is_vectors",
    "level_codes",
    "named_columns",
]


class Numbers(NamedTuple):
    """The present values of a numeric column, unsorted: float32, float64, int64 or uint64 [rows − missing]."""

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


class Vectors(NamedTuple):
    """The present rows of a column of vectors, float32 [rows − missing, numbers]."""

    values: NDArray[np.float32]
    rows: int


def named_columns(x: Any, names: Sequence[str] | None, *, equal: bool = True) -> dict[str, NDArray[Any]]:
    """Split an array [rows, columns], a mapping or a frame into 1-D arrays by name, of one length unless not `equal`."""
    if isinstance(x, Mapping):
        columns = {str(name): as_array(values) for name, values in x.items()}
    elif hasattr(x, "columns") and hasattr(x, "__getitem__"):
        columns = {str(name): as_array(x[name]) for name in x.columns}
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
        if values.ndim != 1 and not is_vectors(values):
            check_shape(name, values)


def check_shape(name: str, values: NDArray[Any]) -> None:
    """Refuse a column that is none."""
    if values.ndim != 1:
        raise InvalidInput(f"column '{name}' has shape {values.shape}; give one value per row")


def _check_lengths(columns: Mapping[str, NDArray[Any]]) -> None:
    lengths = {len(values): name for name, values in columns.items()}
    if len(lengths) > 1:
        (one, first), (other, second) = list(lengths.items())[:2]
        raise InvalidInput(f"column '{first}' has {one} rows and '{second}' has {other}; give columns of one length")


def is_vectors(values: NDArray[Any]) -> bool:
    """Whether every present row is a vector of numbers of one length: an array [rows, numbers], or rows of lists or arrays."""
    if values.ndim == 2:
        return values.dtype.kind in "iuf" and values.shape[1] > 0
    if values.dtype.kind != "O" or values.ndim != 1:
        return False
    present = [value for value in values.tolist() if not _is_gap(value)]
    if not present or not all(isinstance(value, list | tuple | np.ndarray) for value in present):
        return False
    first = np.asarray(present[0])
    return first.ndim == 1 and first.dtype.kind in "iuf" and len(first) > 0 and {len(value) for value in present} == {len(first)}


def as_vectors(name: str, values: NDArray[Any], width: int | None = None) -> Vectors:
    """Read a column of vectors of `width` numbers (any, where None); rows that are missing, or of which a number is, count as missing."""
    if not is_vectors(values) and len(values) and not all(_is_gap(value) for value in values.tolist()):
        raise InvalidInput(f"column '{name}' held vectors in the reference and does not now; give one vector per row")
    present = values if values.ndim == 2 else [value for value in values.tolist() if not _is_gap(value)]
    try:
        read = np.array(present, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"column '{name}' holds lists that are not all of numbers: {error}") from error
    if not len(read):
        return Vectors(np.zeros((0, width or (values.shape[1] if values.ndim == 2 else 1)), np.float32), len(values))
    if width is not None and read.shape[1] != width:
        raise InvalidInput(f"column '{name}' held vectors of {width} numbers in the reference and of {read.shape[1]} now")
    return Vectors(read[np.isfinite(read).all(axis=1)], len(values))


def _is_gap(value: Any) -> bool:
    return not isinstance(value, list | tuple | np.ndarray) and is_missing(value)


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
    if values.dtype.kind == "f" and len(values) and np.isnan(values.min()):  # the smallest is NaN where any is, and found quickly
        values = values[~np.isnan(values)]
    return Numbers(values, rows, unit)


def as_rows(values: NDArray[Any]) -> NDArray[np.float64]:
    """A numeric column row by row as float64, NaN where missing; dates and durations as seconds."""
    if values.dtype.kind in "Mm":
        return _seconds(values)
    if values.dtype.kind != "O":
        return values.astype(np.float64)
    return np.array([np.nan if is_missing(value) else float(value) for value in values.tolist()])


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
    """One of float32, float64, int64 and, beyond it, uint64, exactly; longer floats are rounded to float64."""
    if values.dtype.kind in "biu":
        fits = values.dtype != np.uint64 or not len(values) or values.max() <= np.iinfo(np.int64).max
        return values.astype(np.int64) if fits else values
    return values.astype(np.float32 if values.dtype.itemsize <= 4 else np.float64, copy=False)


def as_levels(values: NDArray[Any], known: Iterable[str] = ()) -> Levels:
    """Count the levels of a column; `known` are the reference's: 0 and 1 are read as False and True where those are meant."""
    counted = _counted(values)
    if set(known) and set(known) <= {"False", "True"}:
        counted = _renamed(counted)
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return Levels(tuple(level for level, _ in ordered), np.array([count for _, count in ordered], np.int64), len(values))


def _renamed(counted: Counter[str]) -> Counter[str]:
    renamed: Counter[str] = Counter()
    for level, count in counted.items():
        renamed[{"0": "False", "1": "True"}.get(level, level)] += count
    return renamed


def as_texts(values: NDArray[Any]) -> list[str]:
    """The present values of a column as texts."""
    return [text for text in _text(values) if text is not None]


def chunked_levels(values: NDArray[Any], chunks: int) -> NDArray[np.int64]:
    """Counts int64 [chunks, levels] of consecutive, equally long chunks of a column; missing values count nowhere."""
    levels, codes = level_codes(values)
    chunk = np.arange(len(codes)) * chunks // len(codes)
    width = max(1, len(levels))
    counted = np.bincount((chunk * width + codes)[codes >= 0], minlength=chunks * width)
    return counted.reshape(chunks, width)


def level_codes(values: NDArray[Any]) -> tuple[list[str], NDArray[np.intp]]:
    """The levels of a column in the order in which they occur, and the place of each row's among them, −1 where missing."""
    texts = _text(values)
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    codes = np.fromiter(map(places.__getitem__, texts), np.intp, len(texts))
    if None in places:
        gap = places.pop(None)
        codes = np.where(codes == gap, -1, codes - (codes > gap))
    return [level for level in places if level is not None], codes


def _counted(values: NDArray[Any]) -> Counter[str]:
    """Rows by level. Equal objects are counted before they are spelled, which only strings may be: 1 equals True."""
    if values.dtype.kind in "biu":
        found, counts = np.unique(values, return_counts=True)
        return Counter(dict(zip(map(_spelled, found.tolist()), counts.tolist(), strict=True)))
    listed = values.tolist()
    try:
        raw = Counter(listed)
    except TypeError:  # something unhashable, such as a list
        raw = None
    if raw is None or not all(isinstance(value, str) or is_missing(value) for value in raw):
        return Counter(text for text in _text(values) if text is not None)
    spelled: Counter[str] = Counter()
    for value, count in raw.items():
        if isinstance(value, str):
            spelled[_spelled(value)] += count
    return spelled


def _text(values: NDArray[Any]) -> list[str | None]:
    if values.dtype.kind == "U":  # each level is looked at once
        listed = values.tolist()
        known = {value: None if is_missing(value) else _spelled(value) for value in set(listed)}
        if all(value == text for value, text in known.items()):
            return listed
        return [known[value] for value in listed]
    return [None if is_missing(value) else _spelled(value) for value in values.tolist()]


def _spelled(value: Any) -> str:
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).encode("utf-8", "replace").decode()


def _present(values: NDArray[Any]) -> list[Any]:
    return [value for value in values.tolist() if not is_missing(value)]
