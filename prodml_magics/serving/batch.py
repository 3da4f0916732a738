"""Requests that run together: their rows put one behind the other, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prodml_magics.serving.plain import PlainForm, PlainRequest
from prodml_magics.serving.requests import Pending

__all__ = ["Batch", "Request", "Tensors", "concatenated", "without_abandoned"]

Tensors = dict[str, np.ndarray]
Request = Pending | PlainRequest


class Batch:
    """Requests that ran together, with their rows in order; handed to shadows after the replies."""

    def __init__(
        self, pending: Sequence[Request], inputs: Tensors, outputs: Tensors, first: int | None, seconds: float = 0.0
    ) -> None:
        self.seconds = seconds
        """What the run took."""
        self.pending = pending
        self.inputs = inputs
        self.outputs = outputs
        self.first = first
        """Sequence number of the first row in the request log; None where not all of them are in it."""
        self.positions: list[int] | None = None
        """Where the rows stood in the live batch, when they are a sample of it."""


def concatenated(batch: Sequence[Request], form: PlainForm | None) -> Tensors:
    """The input tensors of a run of `batch`; `form` is that of its plain requests."""
    if len(batch) == 1:
        return batch[0].tensors
    if form is not None and all(isinstance(pending, PlainRequest) for pending in batch):
        return {form.name: form.array(b"".join([pending.packed for pending in batch]))}  # type: ignore[union-attr]
    return {name: np.concatenate([pending.tensors[name] for pending in batch]) for name in batch[0].tensors}


def without_abandoned(batch: list[Request], inputs: Tensors, outputs: Tensors) -> tuple[list[Request], Tensors, Tensors]:
    """The same without the requests, and their rows, that nobody waits for any more."""
    keep = np.repeat([not pending.abandoned for pending in batch], [pending.rows for pending in batch])
    kept = [pending for pending in batch if not pending.abandoned]
    return kept, {k: v[keep] for k, v in inputs.items()}, {k: v[keep] for k, v in outputs.items()}
