"""One model that is being followed: who answers, who stands in, who is compared with whom, as its route says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from prodml_magics.contract.columns import reader_of, value_of
from prodml_magics.contract.compare import stand_in_problem
from prodml_magics.errors import InvalidInput
from prodml_magics.serving.batch import Batch
from prodml_magics.serving.batcher import Lane
from prodml_magics.serving.cache import PredictionCache
from prodml_magics.serving.cached import Cached, CachedVersion
from prodml_magics.serving.declared import DeclaredVersion
from prodml_magics.serving.limits import Limits, limits_for
from prodml_magics.serving.log import RequestLog
from prodml_magics.serving.marker import ShadowMarker
from prodml_magics.serving.metrics import Metrics, ModelTraffic
from prodml_magics.serving.mirrors import Mirrors
from prodml_magics.serving.split import MarkedVersion, Split
from prodml_magics.serving.turns import Turns
from prodml_magics.serving.version import LoadedVersion
from prodml_magics.wire.admin import ModelReport
from prodml_magics.wire.routes import Route

__all__ = ["Followed", "Shared"]


@dataclass(frozen=True)
class Shared:
    """What all models of one worker share.

    Versions in `quarantined` crashed a worker beside or against the live version and are left out; those in `crashed` did so while
    live, and stand in for nobody. The markers tell, after a crash, which version ran.
    """

    log: RequestLog
    metrics: Metrics
    limits: Limits
    executor: ThreadPoolExecutor
    turns: Turns
    quarantined: frozenset[tuple[str, int]] = frozenset()
    crashed: frozenset[tuple[str, int]] = frozenset()
    marker: ShadowMarker | None = None
    canary_marker: ShadowMarker | None = None
    live_marker: ShadowMarker | None = None


class Followed:
    """Its route in force, its lanes, its shadows."""

    def __init__(self, route: Route, shared: Shared) -> None:
        self.route = route
        self._shared = shared
        self.lanes: dict[int, Lane] = {}
        self._mirrors = Mirrors(shared.log, shared.metrics, shared.limits, shared.marker)
        self._split: Split | None = None
        self._kept: tuple[LoadedVersion, PredictionCache] | None = None
        """What has been answered before, and by which version."""
        self.serving = route.serving
        self._traffic = ModelTraffic()
        self.problem: str | None = None
        """Why its route could not be followed, or not wholly."""
        self._unfit: str | None = None
        """Why the declared default does not stand in."""

    def wanted(self, route: Route) -> list[int]:
        """The versions that `route` needs loaded, without those that crashed a worker."""
        return [
            number for number in route.loaded() if number == route.live or (route.model, number) not in self._shared.quarantined
        ]

    def follow(self, route: Route, versions: dict[int, LoadedVersion]) -> list[Lane]:
        """Bring `route` in force with the `versions` that it wants; returns the lanes that get no more requests.

        Nothing in here awaits: a request sees the whole old route or the whole new one.
        """
        kept = {number for number in self.lanes if number in versions and number != self.route.live}
        leaving = [lane for lane in self.every_lane() if lane.version.version not in kept or lane.allotted[0]]
        self.serving = route.serving
        for version in versions.values():
            version.logging = route.logging()
            # A model in a process of its own cannot take the worker down.
            version.marker = self._shared.live_marker if version.version == route.live and version.executor is None else None
        self.lanes = {number: self._lane(route, versions[number]) for number in versions}
        self._split = self._split_of(route, versions)
        self._change_fallbacks(route, versions)
        self._change_cache(route, versions)
        self._mirrors.change(route, versions)
        self.route, self.problem = route, self._quarantine(route)
        self._shared.metrics.live[route.model] = route.live or 0
        gone = [which for which in self._shared.metrics.breakers if which[0] == route.model]
        for which in gone:
            del self._shared.metrics.breakers[which]
        self._shared.metrics.breakers |= {(route.model, str(number)): version.breaker for number, version in versions.items()}
        return leaving

    def every_lane(self) -> list[Lane]:
        """Every lane that may hold requests."""
        lanes = [*self.lanes.values(), *((self._split.control, self._split.canary) if self._split else ())]
        beside = [
            *(stand_in for lane in lanes for stand_in in lane.fallbacks),
            *(lane.cached.hits for lane in lanes if lane.cached),
        ]
        return [*lanes, *dict.fromkeys(beside)]

    def rests(self, version: LoadedVersion) -> bool:
        """Whether nothing waits for `version`, and it takes part in no comparison."""
        own = [lane for lane in self.every_lane() if lane.version.version == version.version]
        mirrored = any(shadow.version is version for shadow in self._mirrors.lanes)
        return self._split is None and not mirrored and all(lane.idle for lane in own)

    async def drained(self) -> None:
        """Return when every submitted request is answered."""
        for lane in self.every_lane():
            await lane.drained()

    def end_shadows(self) -> None:
        """Nothing is mirrored any more."""
        self._mirrors.close()

    def report(self) -> ModelReport:
        """What it is and has counted."""
        name, shadows = self.route.model, self._mirrors.lanes
        crashed = self._shared.quarantined | self._shared.crashed
        traffic = self._traffic.summary(
            shadow_rows=sum(lane.rows for lane in shadows),
            shadow_dropped=sum(lane.dropped for lane in shadows),
            shadow_errors=sum(lane.errors for lane in shadows),
            refused_per_second=sum(lane.turned_away.per_second() for lane in dict.fromkeys(self.every_lane())),
            sampled_out=self._shared.metrics.unlogged_rows(name, "sample"),
            unlogged=self._shared.metrics.unlogged_rows(name, "failure"),
        )
        return ModelReport(
            name=name,
            revision=self.route.revision,
            live=self.route.live,
            loaded=tuple(self.lanes),
            traffic=traffic,
            problem="; ".join(filter(None, (self._notes(), self._shared.log.problem))) or None,
            crashed=tuple(sorted(version for model, version in crashed if model == name)),
            device=lane.version.session.device if (lane := self.lanes.get(self.route.live or 0)) else None,
        )

    def _notes(self) -> str | None:
        """What is wrong with it, in words."""
        failing = [lane for lane in self.every_lane() if lane.arm in ("live", "canary") and not lane.version.breaker.closed]
        said = {f"version {lane.version.version} keeps failing; {_in_its_place(lane)} in its place" for lane in failing}
        return "; ".join(filter(None, (self.problem, self._unfit, *sorted(said)))) or None

    def _quarantine(self, route: Route) -> str | None:
        crashed = [
            number for number in route.loaded() if (route.model, number) in self._shared.quarantined and number != route.live
        ]
        if not crashed:
            return None
        if route.canary is not None and route.canary.version in crashed:
            return f"version {route.canary.version} crashed the gateway as the canary and is left out; see %rollout {route.model}"
        if route.previous in crashed:
            return f"version {route.previous} crashed the gateway and is left out; a rollback to it is not possible"
        if route.serving.baseline in crashed:
            return f"version {route.serving.baseline} crashed the gateway and is left out; it stands in for nobody"
        return f"version {crashed[0]} crashed the gateway as a shadow and is left out; end it with %shadow {route.model} --stop"

    def _lane(self, route: Route, version: LoadedVersion) -> Lane:
        return self._armed(version, "live" if version.version == route.live else "direct")

    def _armed(self, version: LoadedVersion, arm: str, allotted: tuple[int, float] = (0, 0.0)) -> Lane:
        answered = (lambda batch: self._answered(lane, batch)) if arm == "live" else _ignore
        counts = self._shared.metrics.lane(version.model, version.version, arm)
        lane: Lane = Lane(
            version,
            arm,
            self._shared.log,
            limits_for(self.serving, self._shared.limits),
            self._shared.executor,
            answered,
            counts,
            self._traffic,
            self._shared.turns,
            allotted,
        )
        return lane

    def _change_cache(self, route: Route, versions: dict[int, LoadedVersion]) -> None:
        """The live version may keep its answers; those of the one before it are forgotten.

        Nothing is answered from them while a canary runs: its lanes are others, since an arm that remembers more than the other is
        asked less.
        """
        serving = self.serving
        if route.live not in versions or serving.cache_bytes is None:
            self._kept = None
            self._shared.metrics.caches.pop(route.model, None)
            return
        version = versions[route.live]
        kept = self._kept[1] if self._kept and self._kept[0] is version else None
        if kept is None or (kept.most_bytes, kept.seconds) != (serving.cache_bytes, serving.cache_seconds):
            kept = PredictionCache(serving.cache_bytes, serving.cache_seconds)
        self._kept = (version, kept)
        self._shared.metrics.caches[route.model] = kept
        looked_up: Any = CachedVersion(version, kept)
        self.lanes[route.live].cached = Cached(kept, self._armed(looked_up, "cache"))

    def _change_fallbacks(self, route: Route, versions: dict[int, LoadedVersion]) -> None:
        """Who answers for the live version: the one before it, the declared baseline, the declared default; for a canary the live one
        before all. Versions only where they take the same requests.
        """
        self._unfit = None
        for lane in [lane for lane in self.every_lane() if lane.arm in ("live", "canary")]:
            order = [route.live if lane.arm == "canary" else None, route.previous, route.serving.baseline]
            fell = [number for model, number in self._shared.crashed if model == route.model and number != route.live]
            able = [each for each in order if each in versions and each not in fell]
            numbers = dict.fromkeys(each for each in able if each != lane.version.version)
            stand_ins: list[Any] = [versions[each] for each in numbers if each is not None]
            found = [each for each in stand_ins if stand_in_problem(each.contract, lane.version.contract) is None]
            if route.serving.default:
                try:
                    found.append(DeclaredVersion(lane.version, route.serving.default))
                except InvalidInput as error:
                    self._unfit = f"the declared default is none of version {lane.version.version}: {error}"
            # Whoever stands in for a canary answers requests that were randomised to it: they stay the canary's.
            allotted = lane.allotted if lane.arm == "canary" else (0, 0.0)
            lane.fallbacks = tuple(self._armed(each, "fallback", allotted) for each in found)

    def _split_of(self, route: Route, versions: dict[int, LoadedVersion]) -> Split | None:
        """Lanes of their own for what is randomised: requests that name a version never count for or against it."""
        canary = route.canary
        if canary is None or route.live not in versions or canary.version not in versions:
            return None
        candidate: Any = versions[canary.version]
        if self._shared.canary_marker is not None:
            candidate = MarkedVersion(candidate, self._shared.canary_marker)
        allotted = (canary.rollout, canary.share)
        control = self._armed(versions[route.live], "live", allotted)
        contract = versions[route.live].contract
        key = reader_of(contract, canary.key, "key") if canary.key else None
        segment = value_of(contract, canary.segment.column, canary.segment.value, "segment") if canary.segment else None
        split = Split(control, self._armed(candidate, "canary", allotted), canary.share, canary.salt, key, segment)
        self.lanes[route.live].split = split
        return split

    def _answered(self, lane: Lane, batch: Batch) -> None:
        if lane.cached is not None:
            lane.cached.landed(batch)
        self._mirrors.offer(batch)


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
