"""The request log of one worker: every answered row is in the spool before its reply leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from prodml_magics.contract.mask import masked
from prodml_magics.serving.plain import PlainRequest
from prodml_magics.serving.requests import Pending
from prodml_magics.serving.version import LoadedVersion
from prodml_magics.storage.arrays import to_array
from prodml_magics.storage.blocks import Block
from prodml_magics.storage.spool import SpoolWriter

__all__ = ["RequestLog"]

Tensors = Mapping[str, np.ndarray]


class RequestLog:
    """Writes blocks through a `SpoolWriter`; called on the event loop only."""

    def __init__(self, writer: SpoolWriter) -> None:
        self._writer = writer

    def write(
        self,
        version: LoadedVersion,
        arm: str,
        batch: Sequence[Pending | PlainRequest],
        inputs: Tensors,
        outputs: Tensors | None,
        *,
        now: float,
        run_seconds: float = 0.0,
        status: int = 200,
        mirrors: list[int] | None = None,
        allotted: tuple[int, float] = (0, 0.0),
    ) -> int:
        """Log the rows of `batch` as one block; returns the sequence number of its first row.

        `now` is monotonic seconds, `allotted` the rollout and the share of the canary with which the requests were randomised.
        Raises `Unavailable` when the disk refuses, and then none of the rows is logged.
        """
        first = self._writer.sequence
        if version.mask:
            inputs = masked(version.contract, inputs, version.mask)
        shadow = mirrors is not None
        block = Block(
            model=version.model,
            version=version.version,
            arm=arm,  # type: ignore[arg-type]
            sequence=first,
            request_ids=[pending.request_id for pending in batch],
            request_rows=[pending.rows for pending in batch],
            received_at=[pending.received_at for pending in batch],
            latency_ms=[run_seconds * 1e3 if shadow else (now - pending.started) * 1e3 for pending in batch],
            run_ms=run_seconds * 1e3,
            status=[status] * len(batch),
            keys=[pending.key for pending in batch],
            inputs={name: to_array(values) for name, values in inputs.items()},
            outputs=None if outputs is None else {name: to_array(values) for name, values in outputs.items()},
            mirrors=mirrors,
            rollout=allotted[0],
            share=allotted[1],
        )
        self._writer.append(block)
        return first

    def close(self) -> None:
        """Hand the last segment to the controller."""
        self._writer.close()
