"""%status: what runs and who answers; it can be asked when nothing does."""

from __future__ import annotations

from prodml_magics.actions.results import StatusResult
from prodml_magics.actions.services import Services
from prodml_magics.actions.workspace import Workspace
from prodml_magics.rollouts.canary import in_force
from prodml_magics.wire.admin import Drained, GatewayReport
from prodml_magics.wire.events import Event
from prodml_magics.wire.requests import Status
from prodml_magics.wire.rollouts import RolloutState
from prodml_magics.wire.routes import Route
from prodml_magics.wire.runtime import Runtime
from prodml_magics.wire.status import ControllerStatus, GatewayStatus, ModelStatus, StatusReport

__all__ = ["status"]


def status(workspace: Workspace, _request: Status) -> StatusResult:
    """One picture of services, routes and traffic, from the ledger and from what answers."""
    services = Services(workspace)
    runtime = services.runtime()
    gateway = services.gateway() if runtime else None
    controller = services.controller() if runtime else None
    report = StatusReport(
        home=str(workspace.home),
        gateway=_gateway(runtime, gateway),
        controller=_controller(controller),
        models=_models(workspace, runtime, gateway, controller),
    )
    return StatusResult(report)


def _gateway(runtime: Runtime | None, report: GatewayReport | None) -> GatewayStatus:
    url, grpc = (runtime.gateway.url, runtime.gateway.grpc) if runtime else (None, None)
    if report is None:
        return GatewayStatus(state="down", url=url, grpc=grpc)
    return GatewayStatus(state="up", url=url, grpc=grpc, pids=report.pids or (report.pid,), started_at=report.started_at)


def _controller(report: Drained | None) -> ControllerStatus:
    if report is None:
        return ControllerStatus(state="down")
    return ControllerStatus(state="up", pid=report.pid, drained_at=report.until)


def _models(
    workspace: Workspace, runtime: Runtime | None, gateway: GatewayReport | None, controller: Drained | None
) -> tuple[ModelStatus, ...]:
    if not workspace.has_ledger():
        return ()
    events = workspace.ledger.events()
    latest = {event.model: event for event in events}
    routes = workspace.ledger.routes()
    states = workspace.ledger.rollouts()
    base = runtime.gateway.url if runtime else None
    return tuple(
        _model(name, events, latest[name], routes.get(name), states.get(name), base, gateway, controller)
        for name in sorted(latest)
    )


def _model(
    name: str,
    events: list[Event],
    last: Event,
    route: Route | None,
    state: RolloutState | None,
    base: str | None,
    gateway: GatewayReport | None,
    controller: Drained | None,
) -> ModelStatus:
    served = next((each for each in gateway.models if each.name == name), None) if gateway else None
    versions = {event.payload["version"] for event in events if event.model == name and event.kind == "register"}
    live = route.live if route else None
    problems = [served.problem if served else None, controller.problems.get(name) if controller else None]
    return ModelStatus(
        name=name,
        live=live,
        previous=route.previous if route else None,
        canary=route.canary.version if route and route.canary else None,
        canary_share=route.canary.share if route and route.canary else None,
        rollout=state.phase if state and route and in_force(state, route) else None,
        shadows=route.shadows if route else (),
        revision=last.revision,
        url=f"{base}/v2/models/{name}" if base and live is not None else None,
        versions=tuple(sorted(versions)),
        updated_at=last.at,
        traffic=served.traffic if served else None,
        problem="; ".join(problem for problem in problems if problem) or None,
        device=served.device if served else None,
    )
