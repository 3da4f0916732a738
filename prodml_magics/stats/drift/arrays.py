"""What was given, as an array: moments, dates, times of day and durations that come as objects are NumPy's own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["as_array", "is_missing"]


def as_array(values: Any) -> NDArray[Any]:
    """A column as an array: datetime64 (UTC) or timedelta64 where all of its objects are moments, dates, times or durations."""
    try:
        array = np.asarray(values)
    except ValueError:  # rows of lists of several lengths
        array = np.fromiter(values, dtype=object, count=len(values))
    if array.dtype.kind != "O" or array.ndim != 1:
        return array
    first = next((value for value in array if not is_missing(value)), None)
    kind = next((kind for kind in _TEMPORAL if isinstance(first, kind)), None)
    if kind is None and not hasattr(first, "start_time"):
        return array
    dtype, read = ("M8[us]", _beginning) if kind is None else _TEMPORAL[kind]
    try:
        return np.array([None if is_missing(value) else read(value) for value in array], dtype)
    except (TypeError, ValueError, OverflowError, AttributeError):  # of several kinds: they stay levels
        return array


def _moment(value: datetime) -> datetime:
    return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)


def _day(value: date) -> date:
    return date(value.year, value.month, value.day)


def _time_of_day(value: time) -> timedelta:
    return timedelta(hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond)


def _duration(value: timedelta) -> timedelta:
    return timedelta(days=value.days, seconds=value.seconds, microseconds=value.microseconds)


def _beginning(value: Any) -> datetime:
    """Of a period of pandas."""
    return _moment(value.start_time)


_TEMPORAL: dict[type, tuple[str, Callable[[Any], Any]]] = {
    datetime: ("M8[us]", _moment),
    date: ("M8[us]", _day),
    time: ("m8[us]", _time_of_day),
    timedelta: ("m8[us]", _duration),
}
"""A moment is a date as well, so that it comes first."""


def is_missing(value: Any) -> bool:
    """None, NaN, NaT and pandas' NA, the only common values that differ from themselves or refuse to compare."""
    if isinstance(value, str):
        return False
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.generic)) and bool(value != value)
