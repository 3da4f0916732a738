"""A request with more rows than a run may have: answered part after part, with the runs of others in between, and once as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from prodml_magics.serving.batch import Request

__all__ = ["Large"]

Tensors = dict[str, np.ndarray]


class Large:
    """How far one such request has come. Nothing of it is logged or answered before its last part."""

    def __init__(self, pending: Request, inputs: Tensors, part_rows: int) -> None:
        self.pending = pending
        self.inputs = inputs
        self._part_rows = part_rows
        self._outputs: list[Mapping[str, np.ndarray]] = []
        self._done = 0
        self.seconds = 0.0
        """What its runs have taken together."""

    @property
    def whole(self) -> bool:
        """Whether all its rows have an answer."""
        return self._done >= self.pending.rows

    def part(self) -> tuple[Tensors, int]:
        """The next rows, as views, and how many they are."""
        rows = slice(self._done, min(self._done + self._part_rows, self.pending.rows))
        return {name: values[rows] for name, values in self.inputs.items()}, rows.stop - rows.start

    def took(self, outputs: Mapping[str, np.ndarray], rows: int, seconds: float) -> None:
        """Take the answers to the part."""
        self._outputs.append(outputs)
        self._done += rows
        self.seconds += seconds

    def outputs(self) -> Tensors:
        """The answers to all its rows, in their order."""
        return {name: np.concatenate([part[name] for part in self._outputs]) for name in self._outputs[0]}
