"""Stands in front of a live lane whose model has a prediction cache: who is answered from it, who waits, who runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from prodml_magics.errors import ProdmlError
from prodml_magics.serving.batch import Batch, Request
from prodml_magics.serving.batcher import Lane
from prodml_magics.serving.breaker import Breaker
from prodml_magics.serving.cache import PredictionCache, row_keys
from prodml_magics.serving.version import LoadedVersion

__all__ = ["Cached", "CachedVersion"]


class CachedVersion:
    """A version that looks its answers up. What it takes, and whether it fails, says nothing of the model."""

    executor = None

    def __init__(self, version: LoadedVersion, cache: PredictionCache) -> None:
        self._version = version
        self._cache = cache
        self.breaker = Breaker()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._version, name)

    def run(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The kept answers; where one was forgotten since its request was let in, the model's own to all of them."""
        found = self._cache.answers(row_keys(tensors))
        return self._version.run(tensors) if found is None else found

    def expected_seconds(self, _rows: int) -> float:
        """None to speak of: it stays on the event loop."""
        return 0.0

    def measured(self, rows: int, seconds: float) -> None:
        """Nothing is learned of the model."""


class Cached:
    """Sends rows that are known to the lane `hits`, and lets one of several equal requests run for all of them (single flight)."""

    def __init__(self, cache: PredictionCache, hits: Lane) -> None:
        self.cache = cache
        self.hits = hits
        self._flying: dict[bytes, list[Request]] = {}
        """By the key of a row that is being run: the requests that wait for its answer."""

    def enter(self, pending: Request, live: Lane) -> Lane | None:
        """The lane that `pending` belongs into; None while it waits for the answer to an equal one."""
        keys = row_keys(pending.tensors)
        if self.cache.has(keys):
            return self.hits
        if len(keys) > 1:
            return live
        waiting = self._flying.get(keys[0])
        if waiting is not None:
            waiting.append(pending)
            return None
        self._flying[keys[0]] = []
        return live

    def landed(self, batch: Batch) -> None:
        """Keep the answers to `batch`, and give them to those who wait."""
        keys = row_keys(batch.inputs)
        self.cache.keep(keys, batch.outputs, batch.seconds)
        for key in keys:
            for pending in self._flying.pop(key, ()):
                self._submit(pending, self.hits)

    def failed(self, pending: Request, live: Lane) -> None:
        """The first of those who wait for `pending`, which was not answered, runs in its place."""
        if pending.rows != 1:
            return
        for waiting in self._flying.pop(row_keys(pending.tensors)[0], ()):
            lane = None if waiting.settled else self.enter(waiting, live)
            if lane is not None:
                self._submit(waiting, lane)

    def waiting(self) -> list[Request]:
        """Requests that wait for the answer to another one."""
        return [pending for requests in self._flying.values() for pending in requests]

    def _submit(self, pending: Request, lane: Lane) -> None:
        if pending.settled:
            return
        pending.lane = lane
        try:
            lane.submit(pending)
        except ProdmlError as error:
            pending.settle(error)
