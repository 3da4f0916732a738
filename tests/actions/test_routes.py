"""Deploy, rollback, shadow and undeploy against a real ledger while nothing runs: what is refused changes nothing."""

from __future__ import annotations

import msgspec
import pytest
from homes import go_live, workspace_at

from prodml_magics.actions.deploy import deploy, resolve
from prodml_magics.actions.rollback import rollback, undeploy
from prodml_magics.actions.shadow import shadow
from prodml_magics.actions.switch import switch
from prodml_magics.actions.timeline import timeline
from prodml_magics.actions.workspace import Workspace
from prodml_magics.engines import local
from prodml_magics.errors import Conflict, InvalidInput, NotFound, ProdmlError
from prodml_magics.rollouts.blue_green import promoted
from prodml_magics.rollouts.shadow import shadowed
from prodml_magics.wire.names import parse_reference
from prodml_magics.wire.requests import Deploy, Drift, Register, Request, Rollback, Shadow, Timeline, Undeploy

NAMES = ["a/b", "..", "../cancer", "a b", "'a'", '"a"', "<script>alert(1)</script>", "😀", "a" * 300, "", "a\nb", "cancer;rm"]


def begin_shadow(workspace: Workspace, version: int, sample: float = 1.0) -> None:
    before = workspace.route("cancer")
    switch(workspace, before, shadowed(before, workspace.files("cancer", version), sample), kind="shadow", cause="")


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize(
    "request_type", [Deploy, Rollback, Undeploy, Shadow, Drift, Timeline, Register], ids=lambda each: each.verb()
)
def test_a_bad_name_is_one_line_for_every_verb_and_changes_nothing(
    workspace: Workspace, request_type: type[Request], name: str
) -> None:
    from prodml_magics.actions import verbs

    if request_type is Timeline and not name:
        return  # every model
    before = workspace.ledger.last_id()
    request = Register(model=object(), name=name) if request_type is Register else request_type(model=name)  # type: ignore[call-arg]
    with pytest.raises(InvalidInput) as caught:
        verbs.run(workspace, request)
    said = str(caught.value)
    assert said.isprintable() and "cannot name a model; use 1 to 100 letters" in said and len(said) < 200
    assert workspace.ledger.last_id() == before and not local.is_running(workspace.home)


REFUSED: list[tuple[Request, type[ProdmlError], str]] = [
    (Rollback(model="cancer"), InvalidInput, "cancer has no previous version; deploy another one with %deploy cancer@VERSION"),
    (Rollback(model="other"), InvalidInput, "other is not deployed; there is nothing to roll back"),
    (Undeploy(model="other"), InvalidInput, "other is not deployed; there is nothing to stop"),
    (Shadow(model="cancer@1"), InvalidInput, "version 1 of cancer is live; a shadow is another version"),
    (Shadow(model="cancer@live"), InvalidInput, "version 1 of cancer is live; a shadow is another version"),
    (Shadow(model="cancer", stop=True), InvalidInput, "cancer has no shadow, so there is none to stop; begin one with %shadow"),
    (Shadow(model="cancer@3", stop=True), InvalidInput, "cancer has no shadow, so there is none to stop; begin one with %shadow"),
    (Shadow(model="other@1"), NotFound, "no model other is registered in"),
    (Shadow(model="cancer"), NotFound, "cancer never had a shadow; start one with %shadow cancer@VERSION"),
    (Deploy(model="other"), NotFound, "no model other is registered in"),
    (Deploy(model="cancer@9"), NotFound, "cancer"),
    (Deploy(model="cancer@0"), InvalidInput, "'0' is not a version of cancer; write cancer@2, or one of cancer@live"),
    (Drift(model="other"), NotFound, "there is no model 'other' here; known are 'cancer'"),
    (Drift(model="cancer"), NotFound, "cancer has answered no rows in this window; send requests to it, or widen the window"),
    (Timeline(model="other"), NotFound, "has no entry for other; register it with %register"),
]


@pytest.mark.parametrize(
    ("request_", "kind", "said"), REFUSED, ids=lambda value: str(value) if isinstance(value, Request) else ""
)
def test_what_is_refused_is_one_line_and_changes_nothing(
    workspace: Workspace, request_: Request, kind: type[ProdmlError], said: str
) -> None:
    from prodml_magics.actions import verbs

    go_live(workspace, 1)
    before = workspace.ledger.last_id()
    with pytest.raises(kind) as caught:
        verbs.run(workspace, request_)
    assert said in str(caught.value) and str(caught.value).isprintable()
    assert workspace.ledger.last_id() == before
    assert not local.is_running(workspace.home)


def test_a_switch_that_read_an_older_ledger_is_told_who_was_faster(workspace: Workspace) -> None:
    go_live(workspace, 1)
    read = workspace.route("cancer")
    with workspace_at(workspace.home) as other:
        go_live(other, 2)
    entries = workspace.ledger.last_id()
    with pytest.raises(Conflict) as caught:
        switch(workspace, read, promoted(read, workspace.files("cancer", 3)), kind="deploy", cause="")
    assert str(caught.value) == (
        "cancer was changed by ann@laptop (test) in the meantime; look at %timeline cancer, then try again"
    )
    assert (workspace.route("cancer").live, workspace.ledger.last_id()) == (2, entries)


def test_deploying_what_is_live_writes_nothing(workspace: Workspace) -> None:
    from homes import services

    go_live(workspace, 1)
    before = workspace.ledger.last_id()
    with services(workspace):
        result = deploy(workspace, Deploy(model="cancer@1"))
    assert (result.event, result.version, result.note) == (None, 1, "version 1 is already live")
    assert result.title == "cancer@1: nothing to do, version 1 is already live"
    assert workspace.ledger.last_id() == before


def test_aliases_of_the_ledger_need_no_registry(workspace: Workspace) -> None:
    go_live(workspace, 1)
    go_live(workspace, 2)
    versions = {
        alias: resolve(workspace, parse_reference(f"cancer@{alias}"), default="candidate") for alias in ("live", "previous")
    }
    assert versions == {"live": 2, "previous": 1}
    assert not (workspace.home / "mlflow.db").exists()


def test_rollback_and_shadow_take_effect_later_when_nothing_runs(workspace: Workspace) -> None:
    go_live(workspace, 1)
    go_live(workspace, 2)
    result = rollback(workspace, Rollback(model="cancer", why="night shift"))
    assert (result.version, result.previous, result.serving) == (1, 2, False)
    assert result.warnings() == ("the gateway is down; this takes effect with `prodml up`",)
    begin_shadow(workspace, 3, 0.25)
    ended = shadow(workspace, Shadow(model="cancer@3", stop=True))
    assert (ended.version, ended.shadows) == (1, ())


def test_a_shadow_that_goes_live_is_a_shadow_no_longer(workspace: Workspace) -> None:
    go_live(workspace, 1)
    begin_shadow(workspace, 2)
    go_live(workspace, 2)
    assert workspace.route("cancer").shadows == ()


def test_undeploy_ends_everything_and_a_new_deployment_starts_afresh(workspace: Workspace) -> None:
    go_live(workspace, 1)
    begin_shadow(workspace, 2)
    result = undeploy(workspace, Undeploy(model="cancer"))
    assert (result.version, result.previous, result.shadows, result.url) == (None, None, (), None)
    go_live(workspace, 3)
    route = workspace.route("cancer")
    assert (route.live, route.previous, route.shadows) == (3, None, ())


def test_the_timeline_tells_what_was_live_when_by_whom_and_why(workspace: Workspace) -> None:
    go_live(workspace, 1, cause="first")
    begin_shadow(workspace, 2, 0.5)
    shadow(workspace, Shadow(model="cancer", stop=True))
    go_live(workspace, 2, cause="agrees")
    rollback(workspace, Rollback(model="cancer", why="sensor"))
    undeploy(workspace, Undeploy(model="cancer"))
    result = timeline(workspace, Timeline(model="cancer"))
    assert [(each.kind, each.summary, each.live, each.cause) for each in result.entries] == [
        ("register", "version 1 registered", None, ""),
        ("register", "version 2 registered", None, ""),
        ("register", "version 3 registered", None, ""),
        ("deploy", "version 1 live", 1, "first"),
        ("shadow", "version 1 live, shadow 2 at 50 %", 1, ""),
        ("unshadow", "version 1 live", 1, ""),
        ("deploy", "version 2 live, version 1 kept as previous", 2, "agrees"),
        ("rollback", "version 1 live, version 2 kept as previous", 1, "sensor"),
        ("undeploy", "no version is live", None, ""),
    ]
    assert [each.id for each in result.entries if each.can_undo] == [result.entries[-1].id]
    assert {each.actor for each in result.entries} == {"ann@laptop (test)"}
    at = [each.at for each in result.entries]
    assert at == sorted(at) and all(each.utcoffset() is not None for each in at)
    assert result.frame.height == 9


def test_the_timeline_shows_the_latest_entries_of_all_models(workspace: Workspace) -> None:
    from homes import add_version

    add_version(workspace, 1, name="other")
    go_live(workspace, 1)
    result = timeline(workspace, Timeline(limit=2))
    assert [(each.model, each.kind, each.can_undo) for each in result.entries] == [
        ("other", "register", False),
        ("cancer", "deploy", True),
    ]


def test_a_result_is_plain_values_for_json(workspace: Workspace) -> None:
    go_live(workspace, 1)
    go_live(workspace, 2)
    result = rollback(workspace, Rollback(model="cancer"))
    assert msgspec.json.decode(msgspec.json.encode(result.to_dict())) == result.to_dict()
    assert {"model", "version", "previous", "url", "event"} <= result.to_dict().keys()
    assert {"version", "previous", "url", "frame", "to_dict"} <= set(dir(result))


def test_a_shadow_is_compared_with_who_is_live_beside_it(workspace: Workspace) -> None:
    from prodml_magics.actions.shadow import _latest

    go_live(workspace, 1)
    begin_shadow(workspace, 3)
    began = workspace.ledger.events("cancer")[-1].at
    go_live(workspace, 2)
    since, (mirrored,), live = _latest(workspace, workspace.route("cancer"))
    assert (since, mirrored.version, live) == (began, 3, 2)
    shadow(workspace, Shadow(model="cancer", stop=True))
    go_live(workspace, 1)
    since, (mirrored,), live = _latest(workspace, workspace.route("cancer"))
    assert (since, mirrored.version, live) == (began, 3, 2)
