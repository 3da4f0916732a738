"""Stands where the session of a version was that was put out of memory: the first run opens it again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from prodml_magics.inference.isolated import TimedOutputs
from prodml_magics.inference.runner import Runner

__all__ = ["Asleep"]


class Asleep:
    """`wake` opens the session and puts it in this one's place; what it raises is the answer to the run."""

    def __init__(self, device: Literal["cpu", "gpu"], isolated: bool, wake: Callable[[], Runner]) -> None:
        self.device: Literal["cpu", "gpu"] = device
        self.isolated = isolated
        self._wake = wake
        self._lock = threading.Lock()
        self._awake: Runner | None = None

    def run(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Open the session, unless another thread did so meanwhile, and run it; the time to open it is none of the run's."""
        with self._lock:
            if self._awake is None:
                self._awake = self._wake()
        started = time.perf_counter()
        outputs = self._awake.run(tensors)
        return outputs if isinstance(outputs, TimedOutputs) else TimedOutputs(outputs, time.perf_counter() - started)

    def end_runs(self, overdue: Callable[[int, float], bool]) -> int:
        """End those of the session that was opened."""
        return 0 if self._awake is None else self._awake.end_runs(overdue)

    def close(self) -> None:
        """Close the session that was opened."""
        if self._awake is not None:
            self._awake.close()
