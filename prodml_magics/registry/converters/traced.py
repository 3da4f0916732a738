"""A graph written from a trace whose first axis is free: shapes with that axis are made when the graph runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from prodml_magics.errors import Unsupported
from prodml_magics.registry.converters.written import Written

__all__ = ["Traced"]


class Traced(Written):
    """Beside what `Written` does it knows the symbol of the free axis, and leaves broadcasts to elementwise operators.

    A broadcast value has its final rank but sizes of 1 until `full` is asked of it.
    """

    def __init__(self, batch: Any) -> None:
        super().__init__()
        self._batch = batch
        self._rows = ""
        self._lazy: dict[str, Sequence[Any]] = {}

    def is_lazy(self, value: str) -> bool:
        return value in self._lazy

    def broadcast(self, value: str, shape: Sequence[Any]) -> str:
        """`value`, of the rank of `shape` with sizes of 1 where it is repeated, to be made whole when that is needed."""
        name = self.node("Identity", [value])
        self._lazy[name] = tuple(shape)
        return name

    def full(self, value: str, shape: Sequence[Any]) -> str:
        """`value` in its whole `shape`."""
        return self.node("Expand", [value, self.shape(shape)]) if value in self._lazy else value

    def fixed(self, shape: Sequence[Any]) -> bool:
        return all(isinstance(size, int) for size in shape)

    def shape(self, sizes: Sequence[Any]) -> str:
        """The shape as an int64 vector; raises `Unsupported` for a size that is no multiple of the number of rows and a constant."""
        if self.fixed(sizes):
            return self.constant(np.array(sizes, np.int64))
        return self.node("Concat", [self._size(size) for size in sizes], axis=0)

    def reshape(self, value: str, sizes: Sequence[Any]) -> str:
        """`value` in another shape; one free size is left to the operator to find."""
        free = [size for size in sizes if not isinstance(size, int)]
        if len(free) > 1:
            return self.node("Reshape", [value, self.shape(sizes)])
        flat = np.array([size if isinstance(size, int) else -1 for size in sizes], np.int64)
        return self.node("Reshape", [value, self.constant(flat)])

    def _size(self, size: Any) -> str:
        if isinstance(size, int):
            return self.constant(np.array([size], np.int64))
        times, more = divmod(size, self._batch)
        if not (isinstance(times, int) and isinstance(more, int)):
            raise Unsupported(f"a shape of {size} for batch rows is not converted; let sizes be multiples of the number of rows")
        self._rows = self._rows or self.node("Shape", ["input"], start=0, end=1)
        found = self._rows if times == 1 else self.node("Mul", [self._rows, self.constant(np.array([times], np.int64))])
        return found if more == 0 else self.node("Add", [found, self.constant(np.array([more], np.int64))])
