"""%deploy: all traffic to a version at once (blue-green), the old one kept warm and the new one watched; or step by step, see `canary`."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from prodml_magics.actions.baseline import with_baseline
from prodml_magics.actions.blue_green import refuse_stray_flags, watch
from prodml_magics.actions.canary import begin_canary, broken_clients, refuse_crashed, refuse_second
from prodml_magics.actions.changes import changes
from prodml_magics.actions.results import ChangeResult, RolloutResult
from prodml_magics.actions.services import Services
from prodml_magics.actions.serving import refuse_missing_gpu, serving_of
from prodml_magics.actions.shadow_first import begin_shadow_first
from prodml_magics.actions.switch import mirror_aliases, switch, unchanged
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import InvalidInput, NotFound, UsageError
from prodml_magics.rollouts.blue_green import promoted
from prodml_magics.wire.names import ModelReference, parse_reference
from prodml_magics.wire.requests import Deploy
from prodml_magics.wire.results import Change
from prodml_magics.wire.rollouts import RolloutState
from prodml_magics.wire.routes import Route

__all__ = ["deploy", "resolve"]


def deploy(workspace: Workspace, request: Deploy) -> ChangeResult | RolloutResult:
    """Serve a version: services up, files verified, loaded beside the live one, warmed, held to its samples, then switched to.

    With a ladder only its first share is switched; the controller does the rest.
    """
    reference = parse_reference(request.model)
    if request.variant is not None:
        return deploy(workspace, _of_variant(workspace, request, reference))
    before = workspace.route(reference.name)
    version = resolve(workspace, reference, default="candidate")
    if request.blue_green and request.canary is not None:
        raise UsageError("--blue-green switches all traffic at once and --canary step by step; give one of them")
    if request.shadow_first is not None:
        deploy(workspace, replace(request, shadow_first=None, dry_run=True))  # refused now, not after the shadow
        return begin_shadow_first(workspace, request, before, version)
    if request.canary is not None:
        return begin_canary(workspace, request, before, version)
    refuse_stray_flags(request)
    serving = serving_of(request, before.serving, workspace.contract(reference.name, version))
    watched = watch(workspace, request, before, version)
    if before.live != version:
        refuse_second(workspace, before)
    files = workspace.files(reference.name, version)
    refuse_missing_gpu(request, serving, files)
    after = replace(before if before.live == version else promoted(before, files), serving=serving)
    after = with_baseline(workspace, request, after, version)
    broken = broken_clients(workspace, before, version)
    if request.dry_run:
        return ChangeResult(_rehearsed(workspace, before, after, watched, broken))
    services = Services(workspace)
    services.up()
    if watched:
        refuse_crashed(services, reference.name, version)
    if before.live == version and after.serving == before.serving:
        return ChangeResult(unchanged(workspace, before, "deploy", f"version {version} is already live"))
    details = {"rollout": msgspec.to_builtins(watched)} if watched else None
    change = switch(workspace, before, after, kind="deploy", cause=request.why, details=details)
    problem = mirror_aliases(workspace, reference.name)
    notes = (change.note, broken and f"{broken}: move them", problem and f"aliases follow later ({problem})")
    change = replace(change, note="; ".join(filter(None, notes)))
    return ChangeResult(replace(change, bake=watched.plan.bake if watched else None))


def _of_variant(workspace: Workspace, request: Deploy, reference: ModelReference) -> Deploy:
    from prodml_magics.actions.variants import as_version, known_version  # what a rollback need not load

    version = resolve(workspace, reference, default="candidate")
    if request.dry_run and known_version(workspace, reference.name, version, str(request.variant)) is None:
        raise InvalidInput(
            f"{request.variant} of {reference.name}@{version} is no version yet, and a dry run makes none; leave --dry-run out"
        )
    variant = as_version(workspace, reference.name, version, str(request.variant))
    return replace(request, model=f"{reference.name}@{variant}", variant=None)


def _rehearsed(workspace: Workspace, before: Route, after: Route, watched: RolloutState | None, broken: str) -> Change:
    note = (
        f"version {after.live} would be live and version {before.live} previous"
        if before.live
        else f"version {after.live} would be live"
    )
    found = unchanged(workspace, before, "dry run", "it is live already" if before.live == after.live else note)
    return replace(found, changes=(*changes(before, after, watched), *([broken] if broken else [])))


def resolve(workspace: Workspace, reference: ModelReference, *, default: str) -> int:
    """The version number that `reference` means: its own, its alias's, or that of the alias `default`."""
    if reference.version is not None and reference.version in workspace.versions(reference.name):
        return reference.version
    alias = reference.alias or (default if reference.version is None else None)
    route = workspace.route(reference.name)
    if alias == "live" and route.live is not None:
        return route.live
    if alias == "previous" and route.previous is not None:
        return route.previous
    if not workspace.has_registry():
        if known := workspace.versions(reference.name):
            raise NotFound(
                f"{reference.name} has no {f'version {reference.version}' if reference.version else f'alias {alias}'} here; "
                f"give {reference.name}@VERSION, it has {', '.join(map(str, known))}"
            )
        raise NotFound(f"no model {reference.name} is registered in {workspace.home}; register it with %register")
    return workspace.registry.resolve(reference.name, reference.version or alias or default)
