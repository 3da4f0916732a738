"""Whether one more request finds room in a lane, and would be answered in time: said early, before it is decoded."""

from __future__ import annotations

import math

from prodml_magics.errors import Overloaded, Unavailable
from prodml_magics.serving.batch import Request
from prodml_magics.serving.limits import Limits
from prodml_magics.serving.pace import Pace
from prodml_magics.serving.queue import FairQueue
from prodml_magics.serving.turns import Turns

__all__ = ["Room"]

_PASS = 0.5
"""Share of a latency objective that one pass over the connections may take up: what is read in it waited unread for as long."""
_HEADROOM = 0.7
"""Share of a latency objective that an answer is expected to take at most: one in a hundred takes as much longer than expected."""


class Room:
    """Of the lane of one version of `model`, whose requests wait in `queue`."""

    def __init__(self, model: str, queue: FairQueue[Request], limits: Limits, pace: Pace, turns: Turns) -> None:
        self._model = model
        self._queue = queue
        self._limits = limits
        self._pace = pace
        self._turns = turns

    @property
    def late_to_read(self) -> bool:
        """Whether so many requests come that the next ones have waited unread for too long."""
        objective = self._limits.objective
        return objective < math.inf and self._turns.pass_seconds() > _PASS * objective

    def check(self, patience: float, rows: int, tenant: str, running: int) -> None:
        """`Unavailable` when `rows` more of `tenant` would overfill the queue, or be answered later than in `patience` seconds.

        Early, since an answer that comes too late costs as much as one in time, and helps nobody. A full queue takes more from a tenant
        that has less than an equal part of it, and each waits for its own rows, as many of each other's, and the `running` ones.
        """
        queue, limits = self._queue, self._limits
        waiting, own, most = queue.rows + running, queue.rows, limits.queue_rows
        if queue.tenants > 1 or (queue.tenants and not queue.rows_of(tenant)):
            own = queue.rows_of(tenant)
            others = queue.tenants - (1 if own else 0)
            waiting = min(waiting, running + own + (own + rows) * others)
            most //= others + 1
        if waiting and queue.rows + rows > limits.queue_rows and own + rows > most:
            raise Unavailable(f"{self._model} has {queue.rows:,} rows waiting; try again in a second")
        expected = self._pace.expected_seconds(waiting + rows)
        if self.late_to_read:
            seconds = self._turns.pass_seconds()
            raise Overloaded(
                f"{self._model} has so many connections that a request waits {seconds:.3g} s to be read; send fewer a second",
                seconds,
            )
        if expected > min(patience, _HEADROOM * limits.objective):
            raise Overloaded(
                f"{self._model} has {waiting:,} rows before this, an answer would take {expected:.3g} s and may take "
                f"{min(patience, _HEADROOM * limits.objective):.3g} s; send fewer rows a second, or deploy a faster version",
                expected,
            )
