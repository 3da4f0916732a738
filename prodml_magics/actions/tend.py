"""What the controller does for the lake by the clock: keeps appends fast, deletes what is older than a model keeps."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import ProdmlError
from prodml_magics.storage.lake import LakeRows
from prodml_magics.storage.upkeep import FEW_FILES, Upkeep
from prodml_magics.wire.routes import Route

__all__ = ["SWEEP_SECONDS", "Tending"]

SWEEP_SECONDS = 1800.0
"""How often logs are cleaned up, replaced files removed and old rows deleted."""
_GRACE = timedelta(hours=1)
"""So much later than asked for are rows deleted, so that a clock that is an hour ahead takes nothing away early."""


class Tending:
    """The tables of a home; `took` is told of every append, in whatever thread drains."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._appends: Counter[str] = Counter()
        self._counting = threading.Lock()
        self._began = workspace.clock.now()
        self._began_at = workspace.clock.monotonic()
        self._swept_at: float | None = None
        self.problems: dict[str, str] = {}
        """Per model, why its tables could not be tended; empty when all is well."""

    def took(self, model: str, _rows: LakeRows) -> None:
        """Rows of `model` were appended."""
        with self._counting:
            self._appends[model] += 1

    def tend(self) -> int:
        """Compact what was appended to often, and now and then sweep every table; returns how many tables were touched."""
        now = self._workspace.clock.monotonic()
        if self._swept_at is None or now - self._swept_at >= SWEEP_SECONDS:
            self._swept_at = now
            return self._each(list(self._routes().values()), self._sweep)
        with self._counting:
            due = [model for model, appends in self._appends.items() if appends > FEW_FILES]
            for model in due:
                del self._appends[model]
        return self._each([Route(model, 0) for model in due], self._compact)

    def _routes(self) -> dict[str, Route]:
        return self._workspace.ledger.routes() if self._workspace.has_ledger() else {}

    def _each(self, routes: list[Route], work: Callable[[Route], None]) -> int:
        for route in routes:
            try:
                work(route)
            except ProdmlError as error:
                self.problems[route.model] = str(error)
            else:
                self.problems.pop(route.model, None)
        return len(routes)

    def _compact(self, route: Route) -> None:
        lake = self._workspace.lake
        Upkeep(lake).compact(lake.requests(route.model))

    def _sweep(self, route: Route) -> None:
        lake = self._workspace.lake
        upkeep = Upkeep(lake)
        if route.serving.keep_seconds is not None:
            upkeep.forget(route.model, (self._now() - _GRACE - timedelta(seconds=route.serving.keep_seconds)).date())
        for path in (lake.requests(route.model), lake.labels(route.model)):
            upkeep.compact(path)
            upkeep.sweep(path)

    def _now(self) -> datetime:
        """The time, as far as it has passed since this began: a clock that jumps ahead must not make rows old."""
        passed = timedelta(seconds=self._workspace.clock.monotonic() - self._began_at)
        return min(self._workspace.clock.now(), self._began + passed)
