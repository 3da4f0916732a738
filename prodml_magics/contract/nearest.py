"""Help for a misspelt name: what the writer may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["did_you_mean"]

_SHOWN = 5


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What to do next about the unknown `name`: the nearest known names, else the first few of them.

    >>> did_you_mean("ages", ["age", "sex"])
    "did you mean 'age'?"
    """
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(repr(match) for match in near)}?"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"known are {', '.join(repr(known_name) for known_name in names[:_SHOWN])}{more}"
