"""What `status` returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prodml_magics.actions.results.base import Result, Table
from prodml_magics.wire.status import ModelStatus, StatusReport

__all__ = ["StatusResult"]


class StatusResult(Result[StatusReport]):
    """Services, routes and traffic."""

    @property
    def title(self) -> str:
        gateway, controller = self.record.gateway, self.record.controller
        where = f" on {gateway.url}" if gateway.state == "up" else ""
        return f"gateway {gateway.state}{where}, controller {controller.state}"

    def facts(self) -> list[tuple[str, str]]:
        return [("home", self.record.home)]

    def table(self) -> Table:
        names = ("model", "live", "on", "canary", "previous", "shadows", "requests", "per second", "p50 ms", "p99 ms", "errors")
        return names, [_model_row(each) for each in self.record.models]

    def warnings(self) -> Sequence[str]:
        if not self.record.models and self.record.gateway.state == "down":
            return ("nothing was ever done in this home; begin with %register, or change the folder or PRODML_HOME",)
        down = [] if self.record.gateway.state == "up" else ["nothing is served; start the services with %up or `prodml up`"]
        problems = [f"{each.name}: {each.problem}" for each in self.record.models if each.problem]
        return [
            *down,
            *problems,
            *(_refused(each) for each in self.record.models if each.traffic and each.traffic.refused_per_second),
        ]


def _refused(each: ModelStatus) -> str:
    assert each.traffic
    return f"{each.name}: {each.traffic.refused_per_second:.3g} requests a second are refused with 503, unanswered"


def _model_row(each: Any) -> tuple[Any, ...]:
    traffic = each.traffic
    shadows = ", ".join(f"{shadow.version} at {100 * shadow.sample:.0f} %" for shadow in each.shadows)
    counts = (
        (traffic.requests, traffic.requests_per_second, traffic.p50_ms, traffic.p99_ms, traffic.errors)
        if traffic
        else (None,) * 5
    )
    canary = f"{each.canary} at {each.canary_share:.4g}, {each.rollout}" if each.canary else each.rollout
    return (each.name, each.live, each.device, canary, each.previous, shadows or None, *counts)
