"""Training and test data of any kind, numpy, pandas or polars, as named 1-D arrays; and back again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from prodml_magics.contract.cells import is_null
from prodml_magics.errors import InvalidInput

__all__ = ["FrameKind", "columns_of", "frame_kind", "rebuild", "target_of", "units_of"]

FrameKind = Literal["numpy", "pandas", "polars"]


def frame_kind(rows: Any) -> FrameKind:
    """Which library's table `rows` is; lists and other sequences count as numpy."""
    module = type(rows).__module__.partition(".")[0]
    if module == "pandas":
        return "pandas"
    return "polars" if module == "polars" else "numpy"


def columns_of(rows: Any, names: Sequence[str] | None = None, *, allow_missing: bool = True) -> dict[str, np.ndarray]:
    """The columns of a table [rows, columns] by name; an array's columns are `names`, or x0, x1, ….

    Missing values are NaN among numbers and None or NaN among text. Raises `InvalidInput` for what is no table, has no
    rows or repeated names, holds an infinity, and for a missing value unless `allow_missing`.
    """
    columns = _read(rows, names)
    if not columns:
        raise InvalidInput("the data has no columns; give a table of at least one column")
    if not len(next(iter(columns.values()))):
        raise InvalidInput("the data has no rows; give at least one")
    for name, values in columns.items():
        _check_column(name, values, allow_missing)
    return columns


def units_of(rows: Any) -> dict[str, str]:
    """Units of columns where a pandas frame says them: ``frame.attrs["units"] = {"price": "EUR"}``."""
    given = getattr(rows, "attrs", None)
    units = given.get("units") if isinstance(given, Mapping) else None
    if not isinstance(units, Mapping):
        return {}
    return {str(name): str(unit) for name, unit in units.items()}


def target_of(target: Any) -> np.ndarray:
    """The target as an array [rows], or [rows, k] where there are several; raises `InvalidInput` for missing values."""
    values = target.to_numpy() if hasattr(target, "to_numpy") else np.asarray(target)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim not in (1, 2):
        raise InvalidInput(f"the target has shape {list(values.shape)}; give one value per row")
    if values.dtype.kind == "O" or values.dtype.kind == "T":
        values = np.array(values.tolist())
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InvalidInput(
            f"the target is missing or infinite in row {int(np.argwhere(~np.isfinite(values))[0][0])}; drop such rows"
        )
    if values.dtype.kind not in "biufU":
        raise InvalidInput(f"the target is of dtype {values.dtype.name}; give numbers or text without missing values")
    return values


def rebuild(columns: Mapping[str, np.ndarray], like: Any, dtypes: Mapping[str, str]) -> Any:
    """`columns` as a table of the same library as `like`, with its dtypes where the values allow.

    A missing category, None in `columns`, becomes what stands for it in `like`: None, NaN or null.
    """
    restored = {name: _restore(values, dtypes[name]) for name, values in columns.items()}
    kind = frame_kind(like)
    if kind == "pandas":
        return _rebuild_pandas(restored, like)
    if kind == "polars":
        import polars

        text = {
            name: polars.Series(values.tolist(), dtype=polars.String)
            for name, values in restored.items()
            if values.dtype == object
        }
        return polars.DataFrame({**restored, **text})
    if any(values.dtype == object for values in restored.values()):
        return np.column_stack([_marked(values, like, place) for place, values in enumerate(restored.values())])
    return np.column_stack([values.astype(np.float64) for values in restored.values()])


def _marked(values: np.ndarray, like: Any, place: int) -> np.ndarray:
    """A column of objects with the missing value of the same column of the array `like`: None and NaN are two levels."""
    objects = values.astype(object)
    held = np.asarray(like, object)
    stands = (
        next((value for value in held[:, place].tolist() if is_null(value)), None) if held.ndim == 2 and held.shape[1] else None
    )
    if stands is not None and values.dtype == object:
        objects[[value is None for value in objects.tolist()]] = stands
    return objects


def _rebuild_pandas(columns: Mapping[str, np.ndarray], like: Any) -> Any:
    import pandas

    frame = pandas.DataFrame({name: pandas.Series(values, dtype=values.dtype) for name, values in columns.items()})
    for place, name in enumerate(columns):
        if type(like.dtypes.iloc[place]).__name__ == "CategoricalDtype":
            frame[name] = _as_category(frame[name], like.iloc[:, place])
        elif columns[name].dtype == object:
            frame[name] = _as_text(frame[name], like.iloc[:, place])
    return frame


def _as_category(values: Any, like: Any) -> Any:
    """`values` as categories in the order of `like`, levels that it lacks behind them."""
    import pandas

    known = like.cat.categories
    levels = [*known, *sorted(set(values.dropna().tolist()) - set(known.tolist()))]
    return pandas.Categorical(values, categories=levels, ordered=like.cat.ordered)


def _as_text(text: Any, like: Any) -> Any:
    """The text column `text` with the dtype and the missing value of `like`."""
    missing = like[like.isna()]
    marked = text.where(text.notna(), missing.iloc[0]) if len(missing) else text
    return marked.astype(like.dtype)


def _restore(values: np.ndarray, dtype: str) -> np.ndarray:
    if values.dtype == object:
        return values
    wide = values.astype(np.float64)
    if dtype == "bool":
        return wide.astype(bool)
    whole = dtype.startswith(("int", "uint")) and np.array_equal(wide, np.trunc(wide)) and np.abs(wide).max() < 2**53
    return wide.astype(np.int64) if whole else wide


def _read(rows: Any, names: Sequence[str] | None) -> dict[str, np.ndarray]:
    kind = frame_kind(rows)
    if kind == "numpy":
        return _read_array(rows, names)
    if getattr(rows, "ndim", 2) != 2 or not hasattr(rows, "columns"):
        raise InvalidInput(f"the data is a {type(rows).__name__} of one dimension; give a table [rows, columns]")
    if hasattr(rows, "collect"):
        rows = rows.collect()
    labels = [str(label) for label in rows.columns]
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise InvalidInput(f"column {twice!r} is there twice; rename one of the two")
    read = _read_pandas if kind == "pandas" else _read_polars
    return {label: read(rows.iloc[:, place] if kind == "pandas" else rows[label]) for place, label in enumerate(labels)}


def _read_array(rows: Any, names: Sequence[str] | None) -> dict[str, np.ndarray]:
    if hasattr(rows, "tocsr"):
        raise InvalidInput("the data is a sparse matrix; give a dense table, as requests will be dense")
    table = np.asarray(rows)
    if table.ndim != 2:
        raise InvalidInput(f"the data has shape {list(table.shape)}; give a table [rows, columns]")
    if names is not None and len(names) != table.shape[1]:
        raise InvalidInput(f"the data has {table.shape[1]} columns, the model was fitted on {len(names)}; give the same columns")
    labels = [f"x{place}" for place in range(table.shape[1])] if names is None else [str(name) for name in names]
    return {label: table[:, place] for place, label in enumerate(labels)}


def _read_pandas(series: Any) -> np.ndarray:
    if isinstance(series.dtype, np.dtype):
        return series.to_numpy()
    kind = getattr(series.dtype, "kind", "O")
    if kind in "iuf":
        return series.to_numpy(np.float64, na_value=np.nan) if series.isna().any() else series.to_numpy()
    return np.asarray(series.astype(object).to_numpy(), object)


def _read_polars(series: Any) -> np.ndarray:
    if series.dtype.is_numeric() or (series.dtype.is_temporal() and not series.is_empty()):
        return series.to_numpy()
    if str(series.dtype) == "Boolean" and not series.null_count():
        return series.to_numpy()
    values = np.empty(len(series), object)
    values[:] = series.to_list()
    return values


def _check_column(name: str, values: np.ndarray, allow_missing: bool) -> None:
    if values.dtype.kind != "f":
        return
    if np.isinf(values).any():
        raise InvalidInput(
            f"column {name!r} is infinite in row {int(np.argmax(np.isinf(values)))}; replace infinities before registering"
        )
    if not allow_missing and np.isnan(values).any():
        raise InvalidInput(
            f"column {name!r} is missing in row {int(np.argmax(np.isnan(values)))}, but the model takes no missing values"
        )
