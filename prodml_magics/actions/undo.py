"""%undo: the inverse of a ledger entry, as a new entry."""

from __future__ import annotations

import msgspec

from prodml_magics.actions.changes import changes
from prodml_magics.actions.perform import ended
from prodml_magics.actions.results import ChangeResult
from prodml_magics.actions.switch import mirror_aliases, switch, unchanged
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import Conflict, InvalidInput
from prodml_magics.rollouts.blue_green import without_canary
from prodml_magics.wire.events import ROUTE_KINDS, Event
from prodml_magics.wire.requests import Undo
from prodml_magics.wire.routes import Route

__all__ = ["undo"]


def undo(workspace: Workspace, request: Undo) -> ChangeResult:
    """Put back the route that an entry replaced; refused while later entries of the model rest on it."""
    event = _event(workspace, request.id)
    if event.inverse is None and event.kind in ROUTE_KINDS:
        raise InvalidInput(
            f"entry {event.id} ({event.kind}) ended a rollout, which cannot be taken up again; begin another with "
            f"%deploy {event.model}@VERSION --canary"
        )
    if event.inverse is None:
        raise InvalidInput(
            f"entry {event.id} ({event.kind}) changed no traffic, so there is nothing to undo; see %timeline {event.model}"
        )
    before = workspace.ledger.route(event.model)
    _refuse_dependants(workspace, event)
    after = without_canary(msgspec.convert(event.inverse["route"], type=Route))
    for version in after.loaded():
        workspace.files(event.model, version)
    if request.dry_run:
        note = f"entry {event.id} ({event.kind}) of {event.at:%Y-%m-%d %H:%M} UTC by {event.actor} would be undone"
        found = unchanged(workspace, before, "dry run", note)
        return ChangeResult(msgspec.structs.replace(found, changes=changes(before, after)))
    cause = request.why or f"undo of entry {event.id} ({event.kind})"
    details = {"undoes": event.id, **ended(workspace, before, f"entry {event.id} was undone")}
    change = switch(workspace, before, after, kind="undo", cause=cause, details=details, back=without_canary(before))
    mirror_aliases(workspace, event.model)
    return ChangeResult(change)


def _event(workspace: Workspace, event_id: int | None) -> Event:
    if event_id is not None and workspace.has_ledger():
        return workspace.ledger.event(event_id)
    for event in reversed(workspace.ledger.events() if workspace.has_ledger() else []):
        if event.inverse is not None:
            return event
    raise InvalidInput("the ledger holds nothing that can be undone yet")


def _refuse_dependants(workspace: Workspace, event: Event) -> None:
    later = [each for each in workspace.ledger.events(event.model, after=event.id) if each.kind in ROUTE_KINDS]
    if later:
        names = ", ".join(f"{each.id} ({each.kind})" for each in later[:5])
        raise Conflict(
            f"entry {event.id} cannot be undone while later entries rest on it: {names}; undo entry {later[-1].id} first"
        )
