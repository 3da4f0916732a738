"""The checker that jaxtyping's import hook lays on every function of the room: beartype, where the signature states a shape."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype

_STATES_A_SHAPE = re.compile(r"\b(Bool|Float|Int|Real)\[")
_CHECKED = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float, as for mypy


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which raises jaxtyping.TypeCheckError when arrays are of other shapes than its signature says."""
    stated = getattr(function, "__annotations__", {}).values()
    return _CHECKED(function) if any(_STATES_A_SHAPE.search(str(each)) for each in stated) else function
