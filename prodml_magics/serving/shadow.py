"""Mirrors answered rows to a version that answers nobody, off the response path.

The queue is bounded in rows and in batches; what does not fit is dropped and counted. One thread runs the shadow and sleeps in
proportion, so that it takes at most a stated share of its core from live traffic. Whoever answers interrupts it, but it has no lower
priority: a worker that is busy would then mirror next to nothing. The same holds of a process that it has for itself.

Before a run that takes long the thread lets go of the interpreter for a moment. An event loop that waits for it would else get it just
when the run begins, and has then to wait for the processor as well, until the kernel's next tick.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from prodml_magics.serving.batch import Batch
from prodml_magics.serving.limits import Limits
from prodml_magics.serving.marker import ShadowMarker
from prodml_magics.serving.plain import PlainRequest
from prodml_magics.serving.requests import Pending
from prodml_magics.serving.timed import run_timed
from prodml_magics.serving.version import LoadedVersion
from prodml_magics.slices import take_longer_slices

__all__ = ["Mirrored", "ShadowLane"]

Tensors = dict[str, np.ndarray]
_LONG_SECONDS = 0.5e-3
_BREATH_SECONDS = 0.1e-3


class Mirrored:
    """Rows that a shadow has run: its outputs, or none when it failed."""

    def __init__(self, batch: Batch, mirrors: list[int], outputs: Tensors | None, seconds: float) -> None:
        self.pending: Sequence[Pending | PlainRequest] = batch.pending
        self.inputs = batch.inputs
        self.mirrors = mirrors
        self.outputs = outputs
        self.seconds = seconds


class ShadowLane:
    """The queue and the thread of one shadow; `close` ends the thread after the run it is in.

    `report` is called in the thread with what was run; the owner brings it back to the event loop.
    """

    def __init__(
        self,
        version: LoadedVersion,
        sample: float,
        limits: Limits,
        report: Callable[[ShadowLane, Mirrored], None],
        *,
        marker: ShadowMarker | None = None,
        seed: int | None = None,
    ) -> None:
        self.version = version
        self.sample = sample
        self.dropped = 0
        self.errors = 0
        self.rows = 0
        self._limits = limits
        self._report = report
        self._marker = marker
        self._random = random.Random(seed)
        self._queue: deque[Batch] = deque()
        self._queued_rows = 0
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=f"shadow-{version.model}@{version.version}", daemon=True)
        self._thread.start()

    def mirror(self, batch: Batch) -> None:
        """Offer the rows of `batch`; never waits."""
        sampled = self._sampled(batch)
        if sampled is None:
            return
        rows = sum(pending.rows for pending in sampled.pending)
        with self._wake:
            if self._queued_rows + rows > self._limits.shadow_rows or len(self._queue) >= self._limits.shadow_batches:
                self.dropped += rows
                return
            self._queue.append(sampled)
            self._queued_rows += rows
            self._wake.notify()

    def close(self) -> None:
        """Drop what waits and let the thread end."""
        with self._wake:
            self._closed = True
            self.dropped += self._queued_rows
            self._queue.clear()
            self._queued_rows = 0
            self._wake.notify()

    def _sampled(self, batch: Batch) -> Batch | None:
        """Whole requests are sampled, so that a request's rows stay together."""
        if self.sample >= 1:
            return batch
        keep = [self._random.random() < self.sample for _ in batch.pending]
        if not any(keep):
            return None
        rows = np.repeat(keep, [pending.rows for pending in batch.pending])
        kept = [pending for pending, wanted in zip(batch.pending, keep, strict=True) if wanted]
        sampled = Batch(kept, {k: v[rows] for k, v in batch.inputs.items()}, {}, batch.first)
        sampled.positions = np.flatnonzero(rows).tolist()
        return sampled

    def _work(self) -> None:
        take_longer_slices()
        slowed: int | None = None
        while (batch := self._next()) is not None:
            rows = sum(pending.rows for pending in batch.pending)
            if (process := self.version.pid) != slowed and process is not None:
                take_longer_slices(process)
                slowed = process
            if process is None and self.version.expected_seconds(rows) > _LONG_SECONDS:
                time.sleep(_BREATH_SECONDS)
            outputs, seconds = self._run(batch, rows)
            failed = isinstance(outputs, Exception)
            self.rows += rows
            self.errors += rows if failed else 0
            positions = batch.positions or range(rows)
            assert batch.first is not None, "only what is logged is mirrored"
            mirrors = [batch.first + position for position in positions]
            self._report(self, Mirrored(batch, mirrors, None if isinstance(outputs, Exception) else outputs, seconds))
            time.sleep(seconds * (1 / self._limits.shadow_share - 1))

    def _run(self, batch: Batch, rows: int) -> tuple[Tensors | Exception, float]:
        if self._marker is None:
            return run_timed(self.version, batch.inputs, rows)
        self._marker.set(self.version.model, self.version.version)
        outcome = run_timed(self.version, batch.inputs, rows)
        self._marker.clear()
        return outcome

    def _next(self) -> Batch | None:
        with self._wake:
            while not self._queue and not self._closed:
                self._wake.wait()
            if self._closed:
                return None
            batch = self._queue.popleft()
            self._queued_rows -= sum(pending.rows for pending in batch.pending)
            return batch
