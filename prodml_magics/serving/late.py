"""Requests that wait beyond their deadline are answered 504, and runs that nobody waits for are ended."""

from __future__ import annotations

import asyncio
import time

from prodml_magics.errors import DeadlineExceeded, ProdmlError
from prodml_magics.serving.batcher import Lane
from prodml_magics.serving.log import RequestLog
from prodml_magics.serving.plain import PlainRequest
from prodml_magics.serving.requests import Pending

__all__ = ["Late"]

_SWEEP_SECONDS = 0.1


class Late:
    """Looks ten times a second at the lanes in which something waits; what was answered in its own turn is never looked at."""

    def __init__(self, log: RequestLog) -> None:
        self._log = log
        self._busy: set[Lane] = set()
        self._sweeping = False

    def watch(self, lane: Lane) -> None:
        """Something waits in `lane`."""
        self._busy.add(lane)
        if not self._sweeping:
            self._sweeping = True
            asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        now = time.monotonic()
        for lane in list(self._busy):
            for pending in lane.overdue(now):
                self._give_up(pending, lane)
            lane.end_late_run(now)
            if lane.idle:
                self._busy.discard(lane)
        self._sweeping = bool(self._busy)
        if self._sweeping:
            asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)

    def _give_up(self, pending: Pending | PlainRequest, lane: Lane) -> None:
        pending.abandoned = True
        lane.version.breaker.took(0, 1)
        failure: ProdmlError = DeadlineExceeded(
            f"{lane.version.model} did not answer within {pending.deadline - pending.started:g} s; "
            "send fewer rows, or deploy a faster version"
        )
        try:
            self._log.write(
                lane.version,
                lane.arm,
                [pending],
                pending.tensors,
                None,
                now=time.monotonic(),
                status=failure.http_status,
                allotted=lane.allotted,
            )
        except ProdmlError as error:
            failure = error
        pending.settle(failure)
