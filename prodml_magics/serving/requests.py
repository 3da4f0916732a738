"""What a front hands to the core, and what the core hands back: plain values, no HTTP."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from prodml_magics.errors import ProdmlError

if TYPE_CHECKING:
    from prodml_magics.serving.batcher import Lane

__all__ = ["Answer", "Outputs", "Pending"]


class Outputs:
    """The outputs of one run of a model, for all the requests that ran together; as lists once for all of them."""

    __slots__ = ("_rows", "arrays")

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays
        self._rows: dict[str, list[list[object]]] = {}

    def rows(self, name: str) -> list[list[object]]:
        """The values of an output, one flat list per row."""
        found = self._rows.get(name)
        if found is None:
            values = self.arrays[name]
            found = self._rows[name] = values.reshape(len(values), -1).tolist()
        return found


@dataclass(slots=True)
class Answer:
    """The rows ``[start, stop)`` of a run."""

    outputs: Outputs
    start: int
    stop: int

    def array(self, name: str) -> np.ndarray:
        """The values of an output for this request, batch axis first."""
        return self.outputs.arrays[name][self.start : self.stop]


@dataclass(slots=True)
class Pending:
    """One request on its way through the core; `tensors` are checked against the contract."""

    request_id: str
    key: str
    tensors: dict[str, np.ndarray]
    rows: int
    received_at: float
    """Seconds since 1970, UTC."""
    started: float
    """Monotonic seconds, when the last byte was read."""
    deliver: Callable[[Answer | ProdmlError], None]
    """Takes what became of the request, on the event loop; called once unless `abandoned`."""
    lane: Lane
    """Who answers it."""
    tenant: str = field(default="")
    """Whose token it came with; empty where none is needed."""
    deadline: float = field(default=math.inf)
    """Monotonic seconds, after which nobody waits for the answer."""
    settled: bool = field(default=False)
    """True once `deliver` was called."""
    abandoned: bool = field(default=False)
    """True once it was answered otherwise (its deadline passed); its rows are then not logged again."""

    alone: bool = field(default=False)
    """True once it was part of a run that failed: it is tried once more, by itself."""

    def settle(self, outcome: Answer | ProdmlError) -> None:
        """Deliver `outcome`, once."""
        if not self.settled:
            self.settled = True
            self.deliver(outcome)
