"""%undo: the inverse of an entry, unless something rests on it."""

from __future__ import annotations

import pytest
from homes import go_live

from prodml_magics.actions.results import ChangeResult
from prodml_magics.actions.rollback import rollback, undeploy
from prodml_magics.actions.undo import undo
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import Conflict, InvalidInput, NotFound, ProdmlError
from prodml_magics.wire.requests import Rollback, Undeploy, Undo


def latest(workspace: Workspace) -> int:
    return workspace.ledger.last_id()


def state(workspace: Workspace) -> tuple[int | None, int | None]:
    route = workspace.route("cancer")
    return route.live, route.previous


def test_the_latest_change_is_undone_by_default_and_the_first_deployment_too(workspace: Workspace) -> None:
    go_live(workspace, 1)
    go_live(workspace, 2)
    assert (undo(workspace, Undo()).record.kind, state(workspace)) == ("undo", (1, None))
    undo(workspace, Undo(id=latest(workspace)))
    assert state(workspace) == (2, 1)


def test_undoing_the_first_deployment_serves_nobody(workspace: Workspace) -> None:
    go_live(workspace, 1)
    result = undo(workspace, Undo())
    assert (result.version, result.url, state(workspace)) == (None, None, (None, None))
    assert result.title == "cancer is not served any more"


def test_a_dry_run_says_what_an_undo_would_change_and_changes_nothing(workspace: Workspace) -> None:
    go_live(workspace, 1)
    go_live(workspace, 2)
    before = latest(workspace)
    planned = undo(workspace, Undo(dry_run=True))
    assert planned.changes == ("live: 2 → 1", "previous: 1 → none", "loaded: 2, 1 → 1")
    assert f"entry {before} (deploy) of" in planned.title and "by ann@laptop (test) would be undone" in planned.title
    assert (latest(workspace), state(workspace)) == (before, (2, 1))


def test_undo_of_undo_is_redo(workspace: Workspace) -> None:
    go_live(workspace, 1)
    go_live(workspace, 2)
    before = workspace.route("cancer")
    undo(workspace, Undo())
    undo(workspace, Undo())
    after = workspace.route("cancer")
    assert (after.live, after.previous, after.files) == (before.live, before.previous, before.files)
    assert [event.kind for event in workspace.ledger.events("cancer")][-2:] == ["undo", "undo"]


def test_undeploy_is_undone_with_its_previous_version(workspace: Workspace) -> None:
    go_live(workspace, 1)
    go_live(workspace, 2)
    undeploy(workspace, Undeploy(model="cancer"))
    assert state(workspace) == (None, None)
    undo(workspace, Undo())
    assert state(workspace) == (2, 1)


def test_an_entry_on_which_later_ones_rest_is_refused_naming_them(workspace: Workspace) -> None:
    go_live(workspace, 1)
    first = latest(workspace)
    go_live(workspace, 2)
    rollback(workspace, Rollback(model="cancer"))
    with pytest.raises(Conflict) as caught:
        undo(workspace, Undo(id=first))
    assert str(caught.value) == (
        f"entry {first} cannot be undone while later entries rest on it: {first + 1} (deploy), {first + 2} (rollback); "
        f"undo entry {first + 2} first"
    )
    assert (latest(workspace), state(workspace)) == (first + 2, (1, 2))


def test_entries_of_other_models_and_registrations_rest_on_nothing(workspace: Workspace) -> None:
    from homes import add_version

    go_live(workspace, 1)
    mine = latest(workspace)
    add_version(workspace, 4)
    add_version(workspace, 1, name="other")
    go_live(workspace, 1, name="other")
    undo(workspace, Undo(id=mine))
    assert state(workspace) == (None, None)
    assert workspace.route("other").live == 1


@pytest.mark.parametrize(
    ("request_", "kind", "said"),
    [
        (Undo(id=1), InvalidInput, r"entry 1 \(register\) changed no traffic, so there is nothing to undo; see %timeline cancer"),
        (Undo(), InvalidInput, "the ledger holds nothing that can be undone yet"),
        (Undo(id=77), NotFound, "the ledger has no entry 77; %timeline lists them"),
    ],
)
def test_what_cannot_be_undone_is_refused_and_writes_nothing(
    workspace: Workspace, request_: Undo, kind: type[ProdmlError], said: str
) -> None:
    before = latest(workspace)
    with pytest.raises(kind, match=said):
        undo(workspace, request_)
    assert latest(workspace) == before


def test_an_undo_to_files_that_were_tampered_with_is_refused(workspace: Workspace) -> None:
    go_live(workspace, 1)
    go_live(workspace, 2)
    (workspace.folder("cancer", 1) / "model.onnx").write_bytes(b"changed")
    before = latest(workspace)
    with pytest.raises(ProdmlError):
        undo(workspace, Undo())
    assert (latest(workspace), state(workspace)) == (before, (2, 1))


def test_the_reason_is_kept_or_made(workspace: Workspace) -> None:
    go_live(workspace, 1)
    result = undo(workspace, Undo(why="wrong model"))
    assert isinstance(result, ChangeResult)
    assert workspace.ledger.event(latest(workspace)).cause == "wrong model"
    undo(workspace, Undo())
    assert workspace.ledger.event(latest(workspace)).cause == f"undo of entry {latest(workspace) - 1} (undo)"
    assert workspace.ledger.event(latest(workspace)).payload["undoes"] == latest(workspace) - 1
