"""Estimators put in the place of others, wherever a model holds them: in its attributes, and in lists, tuples and mappings there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from prodml_magics.registry.roles import is_holder, nested

__all__ = ["swap"]


def swap(model: Any, others: Mapping[int, Any]) -> None:
    """In `model`, in place, each estimator whose id is a key of `others` becomes the value; those within them are left alone."""
    for part in list(nested(model)):
        _swap_attributes(part, others)


def _swap_attributes(holder: Any, others: Mapping[int, Any]) -> None:
    for name, value in list(vars(holder).items()):
        other = _swapped(value, others)
        if other is not value:
            vars(holder)[name] = other


def _places(value: Any) -> list[tuple[Any, Any]] | None:
    """Keys or places with what is there; None for what has neither."""
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, list):
        return list(enumerate(value))
    return list(np.ndenumerate(value)) if isinstance(value, np.ndarray) and value.dtype == object else None


def _swapped(value: Any, others: Mapping[int, Any]) -> Any:
    """What stands for `value`; lists and mappings are changed in place, and tuples are made anew."""
    if id(value) in others:
        return others[id(value)]
    places = _places(value)
    if places is not None:
        for place, each in places:
            other = _swapped(each, others)
            if other is not each:  # parts that a copy shares with its original are only read
                value[place] = other
    elif isinstance(value, tuple):
        found = tuple(_swapped(each, others) for each in value)
        return value if all(one is other for one, other in zip(value, found, strict=True)) else found
    elif is_holder(value):
        _swap_attributes(value, others)
    return value
