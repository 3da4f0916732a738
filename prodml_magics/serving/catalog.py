"""What is served and how it fares, asked in the same words over REST and gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from prodml_magics.errors import Conflict, InvalidInput, NotFound, Unavailable
from prodml_magics.serving.batcher import Lane
from prodml_magics.serving.follow import Follower
from prodml_magics.serving.limits import Limits
from prodml_magics.serving.metadata import model_config, model_metadata, model_parameters
from prodml_magics.serving.metrics import Metrics
from prodml_magics.serving.reading import version_number
from prodml_magics.serving.router import Router
from prodml_magics.serving.siblings import Siblings
from prodml_magics.serving.statistics import version_statistics
from prodml_magics.wire.names import check_name

__all__ = ["Catalog"]

_LARGEST = Limits().batch_rows


class Catalog:
    """Metadata, readiness, statistics and repository of one worker; every method raises a `ProdmlError` or answers."""

    def __init__(self, router: Router, follower: Follower, metrics: Metrics, siblings: Siblings | None = None) -> None:
        self._siblings = siblings
        self._router = router
        self._follower = follower
        self._metrics = metrics
        self.ready = False
        """True once every model that the ledger names is loaded and warm, or known not to load."""

    def lane(self, model: str, version: str | None) -> Lane:
        """The lane of a model, or of the version that `version` spells."""
        return self._router.lane(model, version_number(version or None))

    def metadata(self, model: str, version: str | None) -> dict[str, Any]:
        """Tensors and versions; of REST also columns, classes and task, under ``parameters``."""
        found = self.lane(model, version).version
        versions = [found.version] if version else self._router.loaded(model)
        head = model_metadata(model, versions, found.contract, found.platform)
        return {**head, "parameters": model_parameters(found.contract)}

    def config(self, model: str, version: str | None) -> dict[str, Any]:
        """The configuration as far as clients read it."""
        found = self.lane(model, version).version
        return model_config(model, found.contract, _LARGEST, found.platform)

    async def metrics(self) -> Metrics:
        """What all workers of the gateway have counted together."""
        others = await asyncio.to_thread(self._siblings.counts) if self._siblings else []
        return self._metrics.with_others(others) if others else self._metrics

    async def statistics(self, model: str = "", version: str | None = None) -> dict[str, Any]:
        """``model_stats`` of one version, of all loaded versions of a model, or of all models; counted over all workers."""
        if version and not model:
            raise InvalidInput("a version was named without its model; name both")
        if model:
            found = [(model, self.lane(model, version).version.version)] if version else self._loaded(model)
        else:
            found = [pair for name in self._router.names() for pair in self._loaded(name)]
        metrics = await self.metrics()
        return {"model_stats": [version_statistics(*pair, metrics.of_version(*pair)) for pair in found]}

    def _loaded(self, model: str) -> list[tuple[str, int]]:
        loaded = [(model, version) for version in self._router.loaded(model)]
        return loaded or [(model, self.lane(model, None).version.version)]

    def index(self, *, ready: bool = False) -> list[dict[str, str]]:
        """Every version in memory, and every model whose live version could not be loaded, with the reason."""
        found = []
        for report in self._router.report():
            found += [_entry(report.name, version, "READY", "") for version in sorted(report.loaded)]
            if report.problem and report.live is not None and report.live not in report.loaded:
                found.append(_entry(report.name, report.live, "UNAVAILABLE", report.problem))
        return [entry for entry in found if not ready or entry["state"] == "READY"]

    async def load(self, model: str, parameters: Mapping[str, Any]) -> None:
        """Load what the route of `model` names; for a model that is registered and not deployed, hold its newest version warm."""
        self._refuse_parameters(model, parameters)
        problems = await self._follower.follow()
        if model in problems:
            raise Unavailable(f"{model} cannot be loaded: {problems[model]}")
        if model in self._router.names():
            return
        files = await asyncio.to_thread(self._follower.registered, model)
        if files is None:
            raise NotFound(f"no model {model} is registered here; register it with %register")
        await self._router.hold(model, files)

    async def unload(self, model: str, parameters: Mapping[str, Any]) -> None:
        """Let go of versions of `model` that no route names; `Conflict` for a model that is live."""
        self._refuse_parameters(model, parameters)
        if model in self._router.names():
            raise Conflict(f"{model} is live and stays loaded; take it out of service with %undeploy {model}")
        if self._router.route(model) is None and not self._router.held(model):
            raise NotFound(f"no model {model} is loaded here")
        self._router.release(model)

    def _refuse_parameters(self, model: str, parameters: Mapping[str, Any]) -> None:
        check_name(model)
        # unload_dependents is sent by clients always; no model here depends on another.
        for name in parameters.keys() - {"unload_dependents"}:
            raise InvalidInput(f"parameter {name[:60]!a} is not taken; models come from the registry as they were registered")


def _entry(model: str, version: int, state: str, reason: str) -> dict[str, str]:
    return {"name": model, "version": str(version), "state": state, "reason": reason}
