"""Memory that is used again and again: asking the system for fresh pages costs as much as the arithmetic on what is put there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Scratch"]


class Scratch:
    """Arrays by name, which keep their place until a larger one is asked for; of one counter at a time, in one thread."""

    def __init__(self) -> None:
        self._held: dict[str, NDArray[np.uint8]] = {}

    def array(self, name: str, size: int, dtype: Any) -> NDArray[Any]:
        """`size` values of the dtype, whatever they are."""
        needed = size * np.dtype(dtype).itemsize
        if name not in self._held or len(self._held[name]) < needed:
            self._held[name] = np.empty(needed, np.uint8)
        found: NDArray[Any] = self._held[name][:needed].view(dtype)
        return found
