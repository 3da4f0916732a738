"""What was made of an object, for as long as one goes on asking about that very object."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

__all__ = ["kept_for"]

A = TypeVar("A")
B = TypeVar("B")
_MOST = 32


def kept_for(made: Callable[[A], B]) -> Callable[[A], B]:
    """`made`, a pure function of one frozen object, which is looked up by identity: to hash counts takes longer than to use them.

    The latest objects are held, so that no other one can have their identity.
    """
    known: dict[int, tuple[A, B]] = {}

    def found(of: A) -> B:
        entry = known.get(id(of))
        if entry is not None and entry[0] is of:
            return entry[1]
        value = made(of)
        if len(known) >= _MOST:
            known.clear()
        known[id(of)] = (of, value)
        return value

    return found
