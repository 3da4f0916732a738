"""A model whose graph takes other tensors than its clients send."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from prodml_magics.inference.runner import Runner
from prodml_magics.inference.session import Session

__all__ = ["Fed", "fed"]

Tensors = Mapping[str, np.ndarray]


class Fed:
    """`runner` behind a function that turns wire tensors into its own; what that raises is the answer to the run."""

    __slots__ = ("_feeds", "_runner", "device", "isolated")

    def __init__(self, runner: Runner, feeds: Callable[[Tensors], dict[str, np.ndarray]]) -> None:
        self._runner = runner
        self._feeds = feeds
        self.device: Literal["cpu", "gpu"] = runner.device
        self.isolated = runner.isolated

    @property
    def pid(self) -> int | None:
        """As the runner's; None where that is in this process."""
        return getattr(self._runner, "pid", None)

    def run(self, tensors: Tensors) -> dict[str, np.ndarray]:
        """The outputs for wire tensors."""
        return self._runner.run(self._feeds(tensors))

    def warm(self, tensors: Tensors) -> None:
        """As `Session.warm`, for wire tensors."""
        if isinstance(self._runner, Session):
            self._runner.warm(self._feeds(tensors))

    def end_runs(self, overdue: Callable[[int, float], bool]) -> int:
        """As the runner does."""
        return self._runner.end_runs(overdue)

    def close(self) -> None:
        """Close the runner."""
        self._runner.close()


def fed(runner: Runner, feeds: Callable[[Tensors], dict[str, np.ndarray]] | None) -> Runner:
    """`runner` behind `feeds`, or itself where its graph takes what clients send."""
    return runner if feeds is None else Fed(runner, feeds)
