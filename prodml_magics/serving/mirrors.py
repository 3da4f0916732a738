"""The shadows of one model: which there are, what is offered to them, and what of theirs goes into the request log."""

from __future__ import annotations

import asyncio
import time

from prodml_magics.errors import Unavailable
from prodml_magics.serving.batch import Batch
from prodml_magics.serving.limits import Limits
from prodml_magics.serving.log import RequestLog
from prodml_magics.serving.marker import ShadowMarker
from prodml_magics.serving.metrics import Metrics
from prodml_magics.serving.shadow import Mirrored, ShadowLane
from prodml_magics.serving.version import LoadedVersion
from prodml_magics.wire.routes import Route

__all__ = ["Mirrors"]


class Mirrors:
    """Used on the event loop; each shadow runs in a thread of its own and reports back to the loop."""

    def __init__(self, log: RequestLog, metrics: Metrics, limits: Limits, marker: ShadowMarker | None) -> None:
        self._log = log
        self._metrics = metrics
        self._limits = limits
        self._marker = marker
        self.lanes: list[ShadowLane] = []

    def change(self, route: Route, versions: dict[int, LoadedVersion]) -> None:
        """Begin and end shadows as `route` says; one that stays as it is goes on."""
        wanted = {shadow.version: shadow for shadow in route.shadows if shadow.version in versions}
        kept: list[ShadowLane] = []
        for lane in self.lanes:
            shadow = wanted.get(lane.version.version)
            if shadow is not None and shadow.sample == lane.sample and lane.version is versions[shadow.version]:
                kept.append(lane)
                del wanted[shadow.version]
            else:
                lane.close()
        loop = asyncio.get_running_loop()

        def report(lane: ShadowLane, mirrored: Mirrored) -> None:
            loop.call_soon_threadsafe(self._log_rows, lane, mirrored)

        fresh = [
            ShadowLane(versions[shadow.version], shadow.sample, self._limits, report, marker=self._marker)
            for shadow in wanted.values()
        ]
        self.lanes = kept + fresh

    def offer(self, batch: Batch) -> None:
        """Offer rows that were answered to every shadow; never waits."""
        if batch.first is None:  # what is not logged has no number by which a shadow's row could be held against it
            return
        for lane in self.lanes:
            dropped = lane.dropped
            lane.mirror(batch)
            if lane.dropped != dropped:
                self._metrics.shadow_dropped[lane.version.model, str(lane.version.version)] += lane.dropped - dropped

    def close(self) -> None:
        """End every one after the run that it is in."""
        for lane in self.lanes:
            lane.close()

    def _log_rows(self, lane: ShadowLane, mirrored: Mirrored) -> None:
        rows = len(mirrored.mirrors)
        try:
            logged = self._log.write(
                lane.version,
                "shadow",
                mirrored.pending,
                mirrored.inputs,
                mirrored.outputs,
                now=time.monotonic(),
                run_seconds=mirrored.seconds,
                status=200 if mirrored.outputs is not None else 500,
                mirrors=mirrored.mirrors,
            )
        except Unavailable:
            logged = None
        if logged is None:
            lane.dropped += rows
            return
        self._metrics.shadow_rows[lane.version.model, str(lane.version.version)] += rows
