"""What somebody may have meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["nearest"]


def nearest(name: str, known: Iterable[str], most: int = 8) -> str:
    """The closest of the known names as a question, or the first of them as a list.

    >>> nearest("ages", ["age", "size"])
    "did you mean 'age'?"
    """
    names = list(known)
    close = get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(f"'{match}'" for match in close) + "?"
    shown = ", ".join(f"'{each}'" for each in names[:most])
    return f"there are {shown or 'none'}"
