"""The models of one worker: it follows the routes of the ledger, and finds who answers a request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from prodml_magics.errors import NotFound, ProdmlError, Unavailable
from prodml_magics.inference.providers import Device
from prodml_magics.serving.batcher import Lane
from prodml_magics.serving.followed import Followed, Shared
from prodml_magics.serving.held import Held
from prodml_magics.serving.limits import Limits
from prodml_magics.serving.log import RequestLog
from prodml_magics.serving.marker import ShadowMarker
from prodml_magics.serving.metrics import Metrics
from prodml_magics.serving.turns import Turns
from prodml_magics.serving.version import LoadedVersion, load_version
from prodml_magics.wire.admin import ModelReport
from prodml_magics.wire.routes import Route, VersionFiles

__all__ = ["Router"]


class Router:
    """Applies routes and finds the lane of a request; everything but loading happens on the event loop."""

    def __init__(
        self,
        home: Path,
        log: RequestLog,
        metrics: Metrics,
        limits: Limits,
        *,
        device: Device = "auto",
        quarantined: frozenset[tuple[str, int]] = frozenset(),
        marker: ShadowMarker | None = None,
        canary_marker: ShadowMarker | None = None,
        crashed: frozenset[tuple[str, int]] = frozenset(),
        live_marker: ShadowMarker | None = None,
        load: Callable[..., LoadedVersion] = load_version,
    ) -> None:
        self.turns = Turns()
        self._shared = Shared(
            log,
            metrics,
            limits,
            ThreadPoolExecutor(2, thread_name_prefix="run"),
            self.turns,
            quarantined,
            crashed,
            marker,
            canary_marker,
            live_marker,
        )
        self._held = Held(home, limits, device, load, self._rests)
        self._models: dict[str, Followed] = {}
        metrics.held = lambda: [(each.model, str(each.version), each.asleep, each.bytes) for each in self._held]
        self._applying = asyncio.Lock()
        self.last_id = -1
        """The last event of the ledger whose routes are in force; -1 before the first."""

    async def hold(self, model: str, files: VersionFiles) -> LoadedVersion:
        """Load a version that no route names yet, and keep it until its route comes or ten minutes have passed."""
        return await self._held.reserve(model, files)

    def long_seconds(self, version: LoadedVersion) -> float | None:
        """What a run of `version` takes on this worker's own processor, where that is too long for the event loop; None else."""
        seconds, session = version.expected_seconds(1), version.session
        long = session.device == "cpu" and not session.isolated and seconds >= self._shared.limits.inline_seconds
        return seconds if long else None

    async def apply(self, routes: dict[str, Route], last_id: int) -> dict[str, str]:
        """Bring the routes of the ledger, as they were after event `last_id`, in force; returns problems by model."""
        async with self._applying:
            for route in routes.values():
                active = self._models.get(route.model)
                if active is None or active.route.revision != route.revision or active.problem:
                    await self._follow(route)
            self._keep(routes)
            self.last_id = last_id
        return self.problems()

    def versions(self) -> list[LoadedVersion]:
        """Every version in memory; may be called from any thread."""
        return list(self._held)

    def problems(self) -> dict[str, str]:
        """Why routes could not be followed, by model."""
        return {name: active.problem for name, active in self._models.items() if active.problem}

    async def _follow(self, route: Route) -> None:
        followed = self._models.setdefault(route.model, Followed(route, self._shared))
        try:
            versions = {number: await self._held.loaded(route.model, route.file(number)) for number in followed.wanted(route)}
        except ProdmlError as error:
            followed.problem = str(error)
            return
        for lane in followed.follow(route, versions):
            await lane.drained()

    def _keep(self, routes: dict[str, Route]) -> None:
        self._held.keep((route.model, route.file(number)) for route in routes.values() for number in route.loaded())

    def _rests(self, version: LoadedVersion) -> bool:
        followed = self._models.get(version.model)
        return followed is None or followed.rests(version)

    def tend(self) -> None:
        """Put away what has been idle for as long as its model says, and, when memory runs short, what nobody has asked lately."""
        self._held.tend(lambda model: self._models[model].serving.idle_seconds if model in self._models else None)

    def lane(self, model: str, version: int | None = None) -> Lane:
        """The lane that answers for `model`, or for one of its loaded versions; `NotFound` or `Unavailable` else."""
        active = self._models.get(model)
        if active is None or (active.route.live is None and not active.problem):
            raise NotFound(f"no model {ascii(model)[1:-1][:100]} is deployed here; deployed: {', '.join(self.names()) or 'none'}")
        number = active.route.live if version is None else version
        lane = active.lanes.get(number) if number is not None else None
        if lane is not None:
            return lane
        if active.problem and (version is None or version == active.route.live):
            raise Unavailable(f"{model} cannot be served: {active.problem}")
        loaded = ", ".join(str(each) for each in active.lanes)
        raise NotFound(f"{model} has no version {version} loaded here; loaded: {loaded or 'none'}")

    def loaded(self, model: str) -> list[int]:
        """The versions of `model` that can be asked for, in order."""
        active = self._models.get(model)
        return [] if active is None else sorted(active.lanes)

    def held(self, model: str) -> list[int]:
        """The versions of `model` that are in memory though no route names them, in order."""
        return [version for version in self._held.reserved(model) if version not in self.loaded(model)]

    def release(self, model: str) -> None:
        """Let go of what is only held."""
        self._held.release(model)
        self._keep({name: followed.route for name, followed in self._models.items()})

    def route(self, model: str) -> Route | None:
        """The route in force for `model`."""
        active = self._models.get(model)
        return None if active is None else active.route

    def names(self) -> list[str]:
        """Models that have a live version."""
        return sorted(name for name, active in self._models.items() if active.route.live is not None)

    def report(self) -> tuple[ModelReport, ...]:
        """Every model with its counts."""
        return tuple(followed.report() for _, followed in sorted(self._models.items()))

    async def close(self) -> None:
        """End the shadows, and return when every submitted request is answered."""
        for followed in self._models.values():
            followed.end_shadows()
        for followed in self._models.values():
            await followed.drained()
        self._held.close()
