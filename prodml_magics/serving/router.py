"""The models of one worker: which version answers, which are held warm, which are mirrored to; it follows the ledger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from prodml_magics.contract.columns import reader_of, value_of
from prodml_magics.contract.compare import stand_in_problem
from prodml_magics.errors import InvalidInput, NotFound, ProdmlError, Unavailable
from prodml_magics.inference.providers import Device, missing_for_gpu
from prodml_magics.serving.batch import Batch
from prodml_magics.serving.batcher import Lane
from prodml_magics.serving.cache import PredictionCache
from prodml_magics.serving.cached import Cached, CachedVersion
from prodml_magics.serving.declared import DeclaredVersion
from prodml_magics.serving.limits import Limits, limits_for
from prodml_magics.serving.log import RequestLog
from prodml_magics.serving.marker import ShadowMarker
from prodml_magics.serving.memory import Memory, expected_bytes, gpu_memory_of_all
from prodml_magics.serving.metrics import Metrics, ModelTraffic
from prodml_magics.serving.shadow import Mirrored, ShadowLane
from prodml_magics.serving.split import MarkedVersion, Split
from prodml_magics.serving.turns import Turns
from prodml_magics.serving.version import LoadedVersion, load_version
from prodml_magics.wire.admin import ModelReport
from prodml_magics.wire.routes import MODEL_FILES, Route, VersionFiles

__all__ = ["Router"]

_LOOK_SECONDS = 2.0
"""How often idle versions are looked for."""
_HOLD_SECONDS = 600.0
"""How long a version stays loaded for a deploy that has not written its route yet."""

Key = tuple[str, int, str, str]
"""Model, version, digests of its files, and whether it has a process of its own."""


class _Active:
    """One model that is being followed: its route, its lanes, its shadows."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.lanes: dict[int, Lane] = {}
        self.shadows: list[ShadowLane] = []
        self.split: Split | None = None
        self.kept: tuple[LoadedVersion, PredictionCache] | None = None
        """What has been answered before, and by which version."""
        self.serving = route.serving
        self.traffic = ModelTraffic()
        self.problem: str | None = None
        self.unfit: str | None = None
        """Why the declared default does not stand in."""

    def every_lane(self) -> list[Lane]:
        """Every lane that may hold requests."""
        lanes = [*self.lanes.values(), *((self.split.control, self.split.canary) if self.split else ())]
        beside = [
            *(stand_in for lane in lanes for stand_in in lane.fallbacks),
            *(lane.cached.hits for lane in lanes if lane.cached),
        ]
        return [*lanes, *dict.fromkeys(beside)]

    def notes(self) -> str | None:
        """What is wrong with it, in words."""
        failing = [lane for lane in self.every_lane() if lane.arm in ("live", "canary") and not lane.version.breaker.closed]
        said = {f"version {lane.version.version} keeps failing; {_in_its_place(lane)} in its place" for lane in failing}
        return "; ".join(filter(None, (self.problem, self.unfit, *sorted(said)))) or None


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
        self._home = home
        self._log = log
        self._metrics = metrics
        self._limits = limits
        self._device = device
        self._quarantined = quarantined
        self._marker = marker
        self._canary_marker = canary_marker
        self._crashed = crashed
        self._live_marker = live_marker
        self._load = load
        self._executor = ThreadPoolExecutor(2, thread_name_prefix="run")
        self._versions: dict[Key, LoadedVersion] = {}
        self._held: dict[Key, float] = {}
        self._models: dict[str, _Active] = {}
        self.turns = Turns()
        self._memory = Memory(limits.memory_bytes)
        self._looked = time.monotonic()
        metrics.held = lambda: [(each.model, str(each.version), each.asleep, each.bytes) for each in self.versions()]
        self._applying = asyncio.Lock()
        self.last_id = -1
        """The last event of the ledger whose routes are in force; -1 before the first."""

    async def hold(self, model: str, files: VersionFiles) -> LoadedVersion:
        """Load a version that no route names yet, and keep it until its route comes or ten minutes have passed."""
        key = _key(model, files)
        self._held[key] = time.monotonic() + _HOLD_SECONDS
        return await self._loaded(model, files, untried=True)

    async def apply(self, routes: dict[str, Route], last_id: int) -> dict[str, str]:
        """Bring the routes of the ledger, as they were after event `last_id`, in force; returns problems by model."""
        async with self._applying:
            for route in routes.values():
                active = self._models.get(route.model)
                if active is None or active.route.revision != route.revision or active.problem:
                    await self._follow(route)
            self._evict(routes)
            self.last_id = last_id
        return self.problems()

    def versions(self) -> list[LoadedVersion]:
        """Every version in memory; may be called from any thread."""
        return list(self._versions.values())

    def problems(self) -> dict[str, str]:
        """Why routes could not be followed, by model."""
        return {name: active.problem for name, active in self._models.items() if active.problem}

    async def _follow(self, route: Route) -> None:
        active = self._models.setdefault(route.model, _Active(route))
        try:
            versions = {number: await self._loaded(route.model, route.file(number)) for number in self._wanted(route)}
        except ProdmlError as error:
            active.problem = str(error)
            return
        # From here to the end nothing awaits: a request sees the whole old route or the whole new one.
        kept = {number for number in active.lanes if number in versions and number != active.route.live}
        leaving = [lane for lane in active.every_lane() if lane.version.version not in kept or lane.allotted[0]]
        active.serving = route.serving
        for version in versions.values():
            version.logging = route.logging()
            # A model in a process of its own cannot take the worker down.
            version.marker = self._live_marker if version.version == route.live and version.executor is None else None
        active.lanes = {number: self._lane(active, route, versions[number]) for number in versions}
        active.split = self._split(active, route, versions)
        self._change_fallbacks(active, route, versions)
        self._change_cache(active, route, versions)
        self._change_shadows(active, route, versions)
        active.route, active.problem = route, self._quarantine(route)
        self._metrics.live[route.model] = route.live or 0
        gone = [which for which in self._metrics.breakers if which[0] == route.model]
        for which in gone:
            del self._metrics.breakers[which]
        self._metrics.breakers |= {(route.model, str(number)): version.breaker for number, version in versions.items()}
        for lane in leaving:
            await lane.drained()

    def _quarantine(self, route: Route) -> str | None:
        crashed = [number for number in route.loaded() if (route.model, number) in self._quarantined and number != route.live]
        if not crashed:
            return None
        if route.canary is not None and route.canary.version in crashed:
            return f"version {route.canary.version} crashed the gateway as the canary and is left out; see %rollout {route.model}"
        if route.previous in crashed:
            return f"version {route.previous} crashed the gateway and is left out; a rollback to it is not possible"
        if route.serving.baseline in crashed:
            return f"version {route.serving.baseline} crashed the gateway and is left out; it stands in for nobody"
        return f"version {crashed[0]} crashed the gateway as a shadow and is left out; end it with %shadow {route.model} --stop"

    def _wanted(self, route: Route) -> list[int]:
        return [number for number in route.loaded() if number == route.live or (route.model, number) not in self._quarantined]

    def _lane(self, active: _Active, route: Route, version: LoadedVersion) -> Lane:
        return self._armed(active, version, "live" if version.version == route.live else "direct")

    def _armed(self, active: _Active, version: LoadedVersion, arm: str, allotted: tuple[int, float] = (0, 0.0)) -> Lane:
        answered = (lambda batch: self._answered(active, lane, batch)) if arm == "live" else _ignore
        counts = self._metrics.lane(version.model, version.version, arm)
        lane: Lane = Lane(
            version,
            arm,
            self._log,
            limits_for(active.serving, self._limits),
            self._executor,
            answered,
            counts,
            active.traffic,
            self.turns,
            allotted,
        )
        return lane

    def _change_cache(self, active: _Active, route: Route, versions: dict[int, LoadedVersion]) -> None:
        """The live version may keep its answers; those of the one before it are forgotten.

        Nothing is answered from them while a canary runs: its lanes are others, since an arm that remembers more than the other is
        asked less.
        """
        serving = active.serving
        if route.live not in versions or serving.cache_bytes is None:
            active.kept = None
            self._metrics.caches.pop(route.model, None)
            return
        version = versions[route.live]
        kept = active.kept[1] if active.kept and active.kept[0] is version else None
        if kept is None or (kept.most_bytes, kept.seconds) != (serving.cache_bytes, serving.cache_seconds):
            kept = PredictionCache(serving.cache_bytes, serving.cache_seconds)
        active.kept = (version, kept)
        self._metrics.caches[route.model] = kept
        looked_up: Any = CachedVersion(version, kept)
        active.lanes[route.live].cached = Cached(kept, self._armed(active, looked_up, "cache"))

    def _change_fallbacks(self, active: _Active, route: Route, versions: dict[int, LoadedVersion]) -> None:
        """Who answers for the live version: the one before it, the declared baseline, the declared default; for a canary the live one
        before all. Versions only where they take the same requests.
        """
        active.unfit = None
        for lane in [lane for lane in active.every_lane() if lane.arm in ("live", "canary")]:
            order = [route.live if lane.arm == "canary" else None, route.previous, route.serving.baseline]
            fell = [number for model, number in self._crashed if model == route.model and number != route.live]
            able = [each for each in order if each in versions and each not in fell]
            numbers = dict.fromkeys(each for each in able if each != lane.version.version)
            stand_ins: list[Any] = [versions[each] for each in numbers if each is not None]
            found = [each for each in stand_ins if stand_in_problem(each.contract, lane.version.contract) is None]
            if route.serving.default:
                try:
                    found.append(DeclaredVersion(lane.version, route.serving.default))
                except InvalidInput as error:
                    active.unfit = f"the declared default is none of version {lane.version.version}: {error}"
            # Whoever stands in for a canary answers requests that were randomised to it: they stay the canary's.
            allotted = lane.allotted if lane.arm == "canary" else (0, 0.0)
            lane.fallbacks = tuple(self._armed(active, each, "fallback", allotted) for each in found)

    def _split(self, active: _Active, route: Route, versions: dict[int, LoadedVersion]) -> Split | None:
        """Lanes of their own for what is randomised: requests that name a version never count for or against it."""
        canary = route.canary
        if canary is None or route.live not in versions or canary.version not in versions:
            return None
        candidate: Any = versions[canary.version]
        if self._canary_marker is not None:
            candidate = MarkedVersion(candidate, self._canary_marker)
        allotted = (canary.rollout, canary.share)
        control = self._armed(active, versions[route.live], "live", allotted)
        contract = versions[route.live].contract
        key = reader_of(contract, canary.key, "key") if canary.key else None
        segment = value_of(contract, canary.segment.column, canary.segment.value, "segment") if canary.segment else None
        split = Split(control, self._armed(active, candidate, "canary", allotted), canary.share, canary.salt, key, segment)
        active.lanes[route.live].split = split
        return split

    def _change_shadows(self, active: _Active, route: Route, versions: dict[int, LoadedVersion]) -> None:
        wanted = {shadow.version: shadow for shadow in route.shadows if shadow.version in versions}
        kept: list[ShadowLane] = []
        for lane in active.shadows:
            shadow = wanted.get(lane.version.version)
            if shadow is not None and shadow.sample == lane.sample and lane.version is versions[shadow.version]:
                kept.append(lane)
                del wanted[shadow.version]
            else:
                lane.close()
        loop = asyncio.get_running_loop()

        def report(lane: ShadowLane, mirrored: Mirrored) -> None:
            loop.call_soon_threadsafe(self._log_shadow, lane, mirrored)

        fresh = [
            ShadowLane(versions[shadow.version], shadow.sample, self._limits, report, marker=self._marker)
            for shadow in wanted.values()
        ]
        active.shadows = kept + fresh

    def _answered(self, active: _Active, lane: Lane, batch: Batch) -> None:
        if lane.cached is not None:
            lane.cached.landed(batch)
        self._mirror(active, batch)

    def _mirror(self, active: _Active, batch: Batch) -> None:
        if batch.first is None:  # what is not logged has no number by which a shadow's row could be held against it
            return
        for lane in active.shadows:
            dropped = lane.dropped
            lane.mirror(batch)
            if lane.dropped != dropped:
                self._metrics.shadow_dropped[lane.version.model, str(lane.version.version)] += lane.dropped - dropped

    def _log_shadow(self, lane: ShadowLane, mirrored: Mirrored) -> None:
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

    async def _loaded(self, model: str, files: VersionFiles, *, untried: bool = False) -> LoadedVersion:
        key = _key(model, files)
        if key not in self._versions:
            need = expected_bytes(self._home / files.folder / MODEL_FILES[files.flavor])
            idle = self._idle(self._limits.idle_seconds)
            where = f"{model}@{files.version}"
            self._memory.make_room(need, idle, self._versions.values(), where)
            gpu = self._gpu(files)
            if gpu is not None:
                on_gpu = [version for version in self._versions.values() if version.gpu_bytes]
                gpu.make_room(files.gpu_bytes or need, [version for version in idle if version.gpu_bytes], on_gpu, where)
            loop, before, taken = asyncio.get_running_loop(), self._memory.resident(), gpu.resident() if gpu else 0
            loaded = await loop.run_in_executor(
                None, lambda: self._load(model, files, self._home, device=self._device, untried=untried)
            )
            loaded.bytes = max(need // 3, self._memory.resident() - before)
            if gpu is not None and loaded.session.device == "gpu":
                loaded.gpu_bytes = max(need // 3, gpu.resident() - taken)
            self._versions[key] = loaded
        return self._versions[key]

    def _gpu(self, files: VersionFiles) -> Memory | None:
        """The memory of the GPU, where this version may come to lie in it."""
        wanted = self._device if files.device == "auto" else files.device
        if wanted == "cpu" or files.flavor == "python" or files.isolate or missing_for_gpu() is not None:
            return None
        return gpu_memory_of_all()

    def _idle(self, seconds: float) -> list[LoadedVersion]:
        """Versions in memory that have not run for so long and that nothing waits for; none that takes part in a comparison."""
        since = time.monotonic() - seconds
        return [
            version
            for version in self._versions.values()
            if version.used < since and not version.asleep and version.reopen and self._rests(version)
        ]

    def _rests(self, version: LoadedVersion) -> bool:
        active = self._models.get(version.model)
        if active is None:
            return True
        own = [lane for lane in active.every_lane() if lane.version.version == version.version]
        mirrored = any(shadow.version is version for shadow in active.shadows)
        return active.split is None and not mirrored and all(lane.idle for lane in own)

    def tend(self) -> None:
        """Put away what has been idle for as long as its model says, and, when memory runs short, what nobody has asked lately."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        for active in self._models.values():
            most = active.serving.idle_seconds
            if most is not None:
                for version in self._idle(most):
                    if version.model == active.route.model:
                        version.put_away()
        self._memory.make_room(0, self._idle(self._limits.idle_seconds), ())

    def _evict(self, routes: dict[str, Route]) -> None:
        now = time.monotonic()
        self._held = {key: until for key, until in self._held.items() if until > now}
        named = {_key(route.model, route.file(number)) for route in routes.values() for number in route.loaded()}
        for key in self._versions.keys() - named - self._held.keys():
            self._versions.pop(key).close()

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
        return sorted(version for name, version, *_ in self._held if name == model and version not in self.loaded(model))

    def release(self, model: str) -> None:
        """Let go of what is only held."""
        self._held = {key: until for key, until in self._held.items() if key[0] != model}
        self._evict({name: active.route for name, active in self._models.items()})

    def route(self, model: str) -> Route | None:
        """The route in force for `model`."""
        active = self._models.get(model)
        return None if active is None else active.route

    def names(self) -> list[str]:
        """Models that have a live version."""
        return sorted(name for name, active in self._models.items() if active.route.live is not None)

    def report(self) -> tuple[ModelReport, ...]:
        """Every model with its counts."""
        return tuple(self._report(name, active) for name, active in sorted(self._models.items()))

    def _report(self, name: str, active: _Active) -> ModelReport:
        traffic = active.traffic.summary(
            shadow_rows=sum(lane.rows for lane in active.shadows),
            shadow_dropped=sum(lane.dropped for lane in active.shadows),
            shadow_errors=sum(lane.errors for lane in active.shadows),
            sampled_out=self._metrics.unlogged_rows(name, "sample"),
            unlogged=self._metrics.unlogged_rows(name, "failure"),
        )
        return ModelReport(
            name=name,
            revision=active.route.revision,
            live=active.route.live,
            loaded=tuple(active.lanes),
            traffic=traffic,
            problem="; ".join(filter(None, (active.notes(), self._log.problem))) or None,
            crashed=tuple(sorted(version for model, version in self._quarantined | self._crashed if model == name)),
            device=lane.version.session.device if (lane := active.lanes.get(active.route.live or 0)) else None,
        )

    async def close(self) -> None:
        """End the shadows, and return when every submitted request is answered."""
        for active in self._models.values():
            for shadow in active.shadows:
                shadow.close()
        for active in self._models.values():
            for lane in active.every_lane():
                await lane.drained()
        for version in self._versions.values():
            version.close()


def _key(model: str, files: VersionFiles) -> Key:
    place = f"{files.isolate} {files.device} {files.gpu_bytes}"
    return model, files.version, files.model_sha256 + files.contract_sha256 + files.samples_sha256, place


def _in_its_place(lane: Lane) -> str:
    """Who answers, in words, as of now and without asking a breaker for a probe."""
    found = next((each for each in lane.fallbacks if each.version.breaker.state != "open"), None)
    if found is None:
        return "nothing answers"
    return (
        "the declared default answers"
        if isinstance(found.version, DeclaredVersion)
        else f"version {found.version.version} answers"
    )


def _ignore(_batch: Batch) -> None:
    """Rows that were asked of a version by number are nobody's live traffic: no shadow sees them."""
