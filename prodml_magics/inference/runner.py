"""What the rest of the product knows of a loaded model, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import numpy as np

__all__ = ["Runner"]


class Runner(Protocol):
    """A loaded model: tensors in, tensors out, batch axis first. `run` may be called from several threads."""

    @property
    def device(self) -> Literal["cpu", "gpu"]: ...

    @property
    def isolated(self) -> bool:
        """True when it answers from a process of its own: a run then waits, and belongs into a thread."""
        ...

    def run(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]: ...

    def end_runs(self, overdue: Callable[[int, float], bool]) -> int:
        """End the runs for which `overdue` (thread, monotonic seconds when it began) is true; returns how many there were."""
        ...

    def close(self) -> None:
        """Give back what it holds; it answers no more."""
        ...
