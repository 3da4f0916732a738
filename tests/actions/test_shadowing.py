"""Shadows that end by themselves, become live, or go before a deployment; rows are written as a worker writes them."""

from __future__ import annotations

import numpy as np
import pytest
from homes import add_version
from rehearsal import clock

from prodml_magics.actions.deploy import deploy
from prodml_magics.actions.drain import Draining
from prodml_magics.actions.labels import labels
from prodml_magics.actions.shadow import shadow
from prodml_magics.actions.shadow_first import begin_shadow_first
from prodml_magics.actions.shadowing import Shadowing
from prodml_magics.actions.switch import switch
from prodml_magics.actions.timeline import timeline
from prodml_magics.actions.workspace import Workspace
from prodml_magics.clock import ManualClock
from prodml_magics.errors import GateRefused, InvalidInput, UsageError
from prodml_magics.rollouts.blue_green import promoted
from prodml_magics.rollouts.shadow import shadowed
from prodml_magics.storage.arrays import to_array
from prodml_magics.storage.blocks import Block
from prodml_magics.storage.spool import SpoolWriter
from prodml_magics.wire.events import Event
from prodml_magics.wire.requests import Deploy, Labels, Shadow, Timeline
from prodml_magics.wire.routes import ShadowPlan


@pytest.fixture
def home(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """cancer@1 live, by a clock that stands still; nothing is served, so services need not start."""
    manual = Workspace(workspace.home, actor="ann@laptop (test)", clock=ManualClock(), environment={})
    before = manual.route("cancer")
    switch(manual, before, promoted(before, manual.files("cancer", 1)), kind="deploy", cause="")
    return manual


def begin(workspace: Workspace, version: int = 2, **fields: object) -> None:
    """Enter a shadow into the ledger as ``%shadow`` does, while nothing runs."""
    clock(workspace).advance(1)
    before = workspace.route("cancer")
    plan = ShadowPlan(began_at=workspace.clock.now(), **fields)  # type: ignore[arg-type]
    switch(workspace, before, shadowed(before, workspace.files("cancer", version), 1.0, plan), kind="shadow", cause="")


class Mirror:
    """One worker: live rows, and what the shadows said to them."""

    def __init__(self, workspace: Workspace, seed: int = 0) -> None:
        self._workspace = workspace
        self._writer = SpoolWriter(workspace.home / "spool")
        self._rng = np.random.default_rng(seed)
        self.ids: list[str] = []

    def send(self, rows: int, *, differs: float = 0.0, fails: bool = False, truth_is_shadow: bool = False) -> None:
        """`rows` live rows with label 1, mirrored to every shadow, which says 0 to a share `differs` of them."""
        first = self._writer.sequence
        ids = [f"r{len(self.ids) + index}" for index in range(rows)]
        self.ids += ids
        said = np.ones(rows, np.int64)
        self._write("live", self._workspace.route("cancer").live or 0, ids, said)
        for each in self._workspace.route("cancer").shadows:
            other = np.where(self._rng.random(rows) < differs, 0, 1)
            self._write("shadow", each.version, ids, None if fails else other, list(range(first, first + rows)))
        Draining(self._workspace).drain()
        clock(self._workspace).advance(5)

    def _write(self, arm: str, version: int, ids: list[str], label: np.ndarray | None, mirrors: list[int] | None = None) -> None:
        count = len(ids)
        score = None if label is None else np.column_stack([1 - label, label]).astype(np.float32) * 0.2 + 0.4
        self._writer.append(
            Block(
                model="cancer",
                version=version,
                arm=arm,  # type: ignore[arg-type]
                sequence=self._writer.sequence,
                request_ids=ids,
                request_rows=[1] * count,
                received_at=[self._workspace.clock.now().timestamp()] * count,
                latency_ms=[1.0] * count,
                run_ms=1.0,
                status=[500 if label is None else 200] * count,
                keys=[""] * count,
                inputs={"input": to_array(np.zeros((count, 30), np.float32))},
                outputs=None if label is None or score is None else {"label": to_array(label), "probabilities": to_array(score)},
                mirrors=mirrors,
            )
        )


def last(workspace: Workspace) -> Event:
    return workspace.ledger.events("cancer")[-1]


def test_several_shadows_run_beside_each_other_and_are_compared_each(home: Workspace) -> None:
    begin(home, 2)
    begin(home, 3)
    assert [each.version for each in home.route("cancer").shadows] == [2, 3]
    Mirror(home).send(900)
    found = shadow(home, Shadow(model="cancer"))
    assert [each.pairs for each in found.comparisons] == [900, 900]
    assert [each.verdict.verdict for each in found.comparisons] == ["no worse", "no worse"]
    assert found.verdict == "no worse" and found.frame["verdict"].to_list() == ["no worse"] * 2
    assert "why (2)" in str(found) and "shadow 3 beside live 1 on 900 rows" in str(found)
    shadow(home, Shadow(model="cancer@2", stop=True))
    assert [each.version for each in home.route("cancer").shadows] == [3]
    shadow(home, Shadow(model="cancer", stop=True))
    assert home.route("cancer").shadows == ()


def test_a_shadow_ends_after_its_rows_with_its_evidence_in_the_ledger(home: Workspace) -> None:
    begin(home, rows=1_000)
    mirror, shadowing = Mirror(home), Shadowing(home)
    mirror.send(600)
    assert shadowing.look() == 0
    mirror.send(600)
    assert shadowing.look() == 1
    event = last(home)
    assert (event.kind, event.payload.get("tier"), home.route("cancer").shadows) == ("unshadow", None, ())
    assert event.cause.startswith("no worse after 1,200 rows: differs on 0.00 % of 1,200 rows")
    assert event.payload["shadow"]["verdict"]["verdict"] == "no worse"
    assert shadowing.look() == 0
    assert shadow(home, Shadow(model="cancer")).verdict == "no worse"  # it can still be looked at


def test_a_shadow_ends_after_its_time_whatever_came(home: Workspace) -> None:
    begin(home, seconds=60.0)
    shadowing = Shadowing(home)
    clock(home).advance(59)
    assert shadowing.look() == 0
    clock(home).advance(2)
    assert shadowing.look() == 1 and last(home).cause == "undecided after 60 s: no pair yet"


def test_one_that_is_no_worse_becomes_live_where_that_was_asked(home: Workspace) -> None:
    begin(home, promote=True)
    mirror, shadowing = Mirror(home), Shadowing(home)
    mirror.send(50)
    assert shadowing.look() == 0 and home.route("cancer").live == 1
    mirror.send(900)
    assert shadowing.look() == 1
    route, event = home.route("cancer"), last(home)
    assert (route.live, route.previous, route.shadows, event.kind) == (2, 1, (), "promote")
    assert event.cause.startswith("shadow no worse: differs on")
    assert timeline(home, Timeline(model="cancer")).record.entries[-1].live == 2


def test_one_that_differs_too_much_ends_at_once_and_is_told(home: Workspace) -> None:
    begin(home, promote=True, rows=100_000)
    mirror, shadowing = Mirror(home), Shadowing(home)
    mirror.send(500, differs=0.2)
    assert shadowing.look() == 1
    event = last(home)
    assert (event.kind, event.payload["tier"], home.route("cancer").live) == ("unshadow", "daily", 1)
    assert event.payload["text"].startswith("cancer@2: shadow ended, worse: differs on")


def test_failures_of_the_shadow_count_against_it(home: Workspace) -> None:
    begin(home, promote=True)
    Mirror(home).send(200, fails=True)
    assert Shadowing(home).look() == 1 and "failed on 200" in last(home).cause


def test_labels_have_the_last_word_on_a_shadow_too(home: Workspace) -> None:
    begin(home, promote=True)
    mirror, shadowing = Mirror(home, 1), Shadowing(home)
    mirror.send(30)
    mirror.send(600, differs=0.3)
    rows = home.lake.rows("cancer", arms=("shadow",)).sort("mirrors")
    truth = rows["outputs"].struct.field("label").to_list()
    labels(home, Labels(model="cancer", frame={"request_id": rows["request_id"].to_list(), "label": truth}))
    clock(home).advance(1)
    assert shadow(home, Shadow(model="cancer")).verdict == "better"
    assert shadowing.look() == 1 and home.route("cancer").live == 2 and last(home).cause.startswith("shadow better: right on")


def shadow_first(workspace: Workspace, **fields: object) -> None:
    """As ``%deploy --shadow-first`` enters it, while nothing runs."""
    clock(workspace).advance(1)
    request = Deploy(model="cancer@2", **fields)  # type: ignore[arg-type]
    before = workspace.route("cancer")
    import msgspec

    then = msgspec.structs.replace(request, shadow_first=None)
    plan = ShadowPlan(began_at=workspace.clock.now(), rows=request.shadow_first, alpha=request.alpha)
    after = shadowed(before, workspace.files("cancer", 2), 1.0, plan)
    switch(workspace, before, after, kind="shadow", cause="", details={"then": msgspec.to_builtins(then)})


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services that need not start: what is deployed takes effect with them."""
    from prodml_magics.actions.services import Services

    monkeypatch.setattr(Services, "up", lambda *_: False)


@pytest.mark.usefixtures("idle")
def test_a_canary_begins_once_the_shadow_has_seen_enough(home: Workspace) -> None:
    shadow_first(home, shadow_first=100, canary="5,100", why="a better one")
    mirror, shadowing = Mirror(home), Shadowing(home)
    mirror.send(60)
    assert shadowing.look() == 0
    mirror.send(60)
    assert shadowing.look() == 1
    route, state = home.route("cancer"), home.rollout("cancer")
    assert state is not None and (state.plan.candidate, state.plan.steps) == (2, (5.0, 100.0))
    assert route.canary is not None and route.shadows == () and route.live == 1
    assert last(home).cause.startswith("a better one; shadow first, ")


@pytest.mark.usefixtures("idle")
def test_all_traffic_goes_over_only_when_it_is_shown_to_be_no_worse(home: Workspace) -> None:
    shadow_first(home, shadow_first=50)
    mirror, shadowing = Mirror(home), Shadowing(home)
    mirror.send(60)
    assert shadowing.look() == 1  # too few to tell
    assert (last(home).kind, last(home).payload["tier"], home.route("cancer").live) == ("unshadow", "daily", 1)
    shadow_first(home, shadow_first=900)
    mirror.send(1_000)
    assert shadowing.look() == 1 and home.route("cancer").live == 2


@pytest.mark.usefixtures("idle")
def test_a_shadow_that_is_worse_keeps_the_deployment_from_beginning(home: Workspace) -> None:
    shadow_first(home, shadow_first=2_000, canary="5,100")
    Mirror(home).send(300, differs=0.3)
    assert Shadowing(home).look() == 1
    assert last(home).payload["tier"] == "daily" and home.rollout("cancer") is None


def test_what_could_not_follow_is_refused_before_the_shadow_begins(home: Workspace) -> None:
    at = home.ledger.last_id()
    for request, error, said in (
        (Deploy(model="cancer@2", shadow_first=100, canary="5,3"), UsageError, "do not rise"),
        (Deploy(model="cancer@1", shadow_first=100), InvalidInput, "version 1 of cancer is live; a shadow is another version"),
        (Deploy(model="cancer@2", shadow_first=100, canary="5,100", guard="speed"), UsageError, "'speed' is no guard"),
    ):
        with pytest.raises(error, match=said):
            deploy(home, request)
    path = home.folder("cancer", 3) / "contract.json"
    path.write_bytes(path.read_bytes().replace(b'"mean radius"', b'"radius"'))
    with pytest.raises(GateRefused, match="column 'mean radius' is sent but not known"):
        deploy(home, Deploy(model="cancer@3", shadow_first=100, canary="5,100", dry_run=True))
    assert home.ledger.last_id() == at
    planned = deploy(home, Deploy(model="cancer@2", shadow_first=2_000, canary="5,100", dry_run=True))
    assert "the next 2,000 rows are mirrored to version 2, then the canary 5,100" in str(planned)


def test_a_model_without_traffic_cannot_have_a_shadow_first(workspace: Workspace) -> None:
    add_version(workspace, 7)
    with pytest.raises(InvalidInput, match="has no live traffic to mirror, so --shadow-first cannot be"):
        begin_shadow_first(workspace, Deploy(model="cancer@7", shadow_first=10), workspace.route("cancer"), 7)
