"""The one way in which a route changes: load, write the ledger, have the gateway follow. All or nothing.

The order matters. Before the ledger is written nothing has changed; from then on the change is decided, and whoever is killed in
between leaves a gateway that follows by itself and aliases that the controller repairs.
"""

from __future__ import annotations

from typing import Any

import msgspec

from prodml_magics.actions.services import Services
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import ProdmlError
from prodml_magics.wire.events import Event
from prodml_magics.wire.results import Change
from prodml_magics.wire.routes import Route

__all__ = ["mirror_aliases", "switch", "unchanged"]


def switch(
    workspace: Workspace,
    before: Route,
    after: Route,
    *,
    kind: str,
    cause: str,
    details: dict[str, Any] | None = None,
    back: Route | None = None,
    undoable: bool = True,
) -> Change:
    """Put `after` in force in place of `before`, as one ledger entry of `kind`; `after.revision` is set here.

    The inverse of the entry is the route `back` (default: `before`), or nothing when it is not `undoable`.

    Raises `Conflict` when another process changed the model since `before` was read, and what the gateway says when it cannot load
    or verify a version; then nothing has changed.
    """
    started = workspace.clock.monotonic()
    services = Services(workspace)
    after = msgspec.structs.replace(after, revision=before.revision + 1)
    serving = services.gateway() is not None
    if serving:
        for version in after.loaded():
            services.hold(after.model, after.file(version))
    event = workspace.ledger.append(
        kind=kind,
        model=after.model,
        expected=before.revision,
        payload={"route": msgspec.to_builtins(after), **(details or {}), **workspace.origin},
        inverse={"route": msgspec.to_builtins(back or before)} if undoable else None,
        at=workspace.clock.now(),
        actor=workspace.actor,
        cause=cause,
    )
    note = _follow(services, after.model) if serving else "the gateway is down; this takes effect with `prodml up`"
    seconds = workspace.clock.monotonic() - started
    return _change(services, after, kind, event, seconds=seconds, serving=serving, note=note)


def _follow(services: Services, model: str) -> str:
    synced = services.sync()
    if synced is None:
        return "the gateway went away; it follows the ledger when it is back"
    return synced.problems.get(model, "")


def _change(
    services: Services, route: Route, kind: str, event: Event | None, *, seconds: float, serving: bool, note: str
) -> Change:
    url = services.url()
    return Change(
        model=route.model,
        kind=kind,
        version=route.live,
        previous=route.previous,
        shadows=tuple(shadow.version for shadow in route.shadows),
        url=f"{url}/v2/models/{route.model}" if url and route.live else None,
        event=None if event is None else event.id,
        seconds=seconds,
        serving=serving,
        note=note,
    )


def unchanged(workspace: Workspace, route: Route, kind: str, note: str) -> Change:
    """The change that was not needed, since `route` is already what was asked for."""
    services = Services(workspace)
    serving = services.gateway() is not None
    return _change(services, route, kind, None, seconds=0.0, serving=serving, note=note)


def mirror_aliases(workspace: Workspace, model: str) -> str:
    """Write MLflow's aliases ``live`` and ``previous`` as the ledger has them; returns what went wrong, empty when nothing did.

    The ledger decides; a registry that cannot be reached only delays its mirror, which the controller repairs.
    """
    if not workspace.has_registry():
        return ""
    route = workspace.ledger.route(model)
    try:
        aliases = workspace.registry.aliases(model)
        for alias, version in (("live", route.live), ("previous", route.previous)):
            if aliases.get(alias) != version:
                workspace.registry.set_alias(model, alias, version)
    except ProdmlError as error:
        return str(error)
    return ""
