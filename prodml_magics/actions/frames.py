"""Frames that a person hands over: polars, pandas, numpy, or a file, as named columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from prodml_magics.errors import InvalidInput, NotFound

__all__ = ["as_columns", "read_frame"]


def as_columns(frame: Any, what: str, opaque: set[str] | None = None) -> dict[str, np.ndarray]:
    """Named 1-D columns of a frame, a mapping, or a file path (.parquet, .csv, .arrow).

    Columns of structs and complex numbers are refused, or left out and added to `opaque`, where that is given.
    """
    found = _columns(frame, what, opaque)
    if opaque is not None:
        opaque |= {name for name, values in found.items() if values.dtype.kind in "cV"}
        found = {name: values for name, values in found.items() if name not in opaque}
    return found


def _columns(frame: Any, what: str, opaque: set[str] | None) -> dict[str, np.ndarray]:
    from prodml_magics.stats.drift.arrays import as_array

    if isinstance(frame, str | Path):
        frame = read_frame(Path(frame))
    if isinstance(frame, Mapping):
        return {str(name): as_array(values) for name, values in frame.items()}
    if hasattr(frame, "collect"):  # a lazy frame
        frame = frame.collect()
    if hasattr(frame, "columns") and hasattr(frame, "__getitem__"):
        _refuse_repeated([str(name) for name in frame.columns], what)
        if opaque is not None:
            opaque |= {str(name) for name in frame.columns if _is_struct(frame[name])}
        kept = [name for name in frame.columns if str(name) not in (opaque or ())]
        return {str(name): as_array(_values(frame[name], str(name), what)) for name in kept}
    values = np.asarray(frame)
    if values.ndim != 2:
        raise InvalidInput(f"the {what} is {type(frame).__name__}; give a polars or pandas frame, a 2-D array or a file")
    return {f"x{index}": values[:, index] for index in range(values.shape[1])}


def _values(series: Any, name: str, what: str) -> Any:
    if _is_struct(series):
        raise InvalidInput(f"column {name!r} of the {what} holds structs; give their fields as columns: frame.unnest({name!r})")
    if str(getattr(series, "dtype", "")) in ("Int128", "UInt128"):
        series = _of_128_bits(series)
    return series.to_numpy()


def _is_struct(series: Any) -> bool:
    return str(getattr(series, "dtype", "")).startswith("Struct")


def _of_128_bits(series: Any) -> Any:
    """As integers of 64 bits where they fit, which NumPy can hold, else as floats."""
    import polars as pl

    low, high = series.min() or 0, series.max() or 0
    fitting = [
        dtype for dtype, least, most in ((pl.Int64, -(2**63), 2**63), (pl.UInt64, 0, 2**64)) if least <= low and high < most
    ]
    return series.cast(fitting[0] if fitting else pl.Float64)


def _refuse_repeated(names: list[str], what: str) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise InvalidInput(f"the {what} has {count} columns {name!r}; rename all but one")


def read_frame(path: Path) -> Any:
    """A polars frame read from a file by its ending."""
    import polars as pl

    readers: dict[str, Any] = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".arrow": pl.read_ipc, ".feather": pl.read_ipc}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InvalidInput(f"{path} is not a frame that can be read; give one of {', '.join(readers)}")
    if not path.is_file():
        raise NotFound(f"there is no file {path}; check the path")
    try:
        return reader(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:120]
        raise InvalidInput(f"{path} cannot be read ({reason}); write it again as {path.suffix}") from error
