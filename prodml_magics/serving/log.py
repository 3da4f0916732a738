"""The request log of one worker: every answered row is in the spool before its reply leaves."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence

import numpy as np

from prodml_magics.contract.mask import masked
from prodml_magics.errors import Unavailable
from prodml_magics.serving.durable import DiskSync
from prodml_magics.serving.metrics import Metrics
from prodml_magics.serving.plain import PlainRequest
from prodml_magics.serving.requests import Pending
from prodml_magics.serving.version import LoadedVersion
from prodml_magics.storage.arrays import to_array
from prodml_magics.storage.blocks import Block
from prodml_magics.storage.spool import SpoolWriter

__all__ = ["RequestLog"]

_log = logging.getLogger(__name__)
Tensors = Mapping[str, np.ndarray]


class RequestLog:
    """Writes blocks through a `SpoolWriter`; called on the event loop only.

    Each version says how its requests are logged (`LoadedVersion.logging`). A disk that refuses never ends the worker.
    """

    def __init__(self, writer: SpoolWriter, metrics: Metrics | None = None, seed: int | None = None) -> None:
        self._writer = writer
        self._metrics = metrics or Metrics()
        self._random = random.Random(seed)
        self._disk = DiskSync(writer)
        self._failure = ""
        try:
            writer.open()
        except Unavailable as error:
            self._failed(error)

    @property
    def problem(self) -> str:
        """Why the latest rows could not be logged, or not be brought to the disk; empty when all is well."""
        return self._failure or self._disk.problem

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
    ) -> int | None:
        """Log the rows of `batch` as one block; returns the sequence number of its first row.

        `now` is monotonic seconds, `allotted` the rollout and the share of the canary with which the requests were randomised.
        Returns None when not all of them were logged: they were left out by the sample, or the disk refuses and the model is to be
        served nevertheless. Else raises `Unavailable` when the disk refuses, and then none of the rows is logged.
        """
        policy = version.logging
        keep = self._drawn(version, arm, batch) if policy.log_sample < 1 else None
        if keep is not None:
            rows = np.repeat(keep, [pending.rows for pending in batch])
            batch = [pending for pending, kept in zip(batch, keep, strict=True) if kept]
            inputs = {name: values[rows] for name, values in inputs.items()}
            outputs = None if outputs is None else {name: values[rows] for name, values in outputs.items()}
            if not batch:
                return None
        if policy.mask and inputs:
            inputs = masked(version.contract, inputs, policy.mask)
        first = self._writer.sequence
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
            log_share=policy.log_sample,
        )
        return first if self._appended(block, version) and keep is None else None

    def _appended(self, block: Block, version: LoadedVersion) -> bool:
        policy = version.logging
        try:
            self._writer.append(block, sync=policy.fsync_ms == 0)
        except Unavailable as error:
            self._failed(error)
            if policy.on_log_failure == "refuse":
                raise
            self._metrics.unlogged[version.model, str(version.version), block.arm, "failure"] += block.rows
            return False
        self._failure = ""
        if policy.fsync_ms:
            self._disk.want(policy.fsync_ms / 1e3)
        return True

    def _drawn(self, version: LoadedVersion, arm: str, batch: Sequence[Pending | PlainRequest]) -> list[bool]:
        """Which requests are logged; whole ones are drawn, whatever became of them, so that shares of failures stay true."""
        share, draw = version.logging.log_sample, self._random.random
        keep = [draw() < share for _ in batch]
        left_out = sum(pending.rows for pending, kept in zip(batch, keep, strict=True) if not kept)
        self._metrics.unlogged[version.model, str(version.version), arm, "sample"] += left_out
        return keep

    def _failed(self, error: Unavailable) -> None:
        if not self._failure:  # said once, not once a turn: the log of the worker may lie on the same disk
            _log.error("%s", error)
        self._failure = str(error)

    def close(self) -> None:
        """Hand the last segment to the controller."""
        self._disk.finish()
        self._writer.close()
