"""A shadow whose runs take long runs beside the worker, not in it; as soon as it answers somebody it moves in."""

from __future__ import annotations

from pathlib import Path

import psutil
from homes import add_version, answers, go_live, post, services, wait_for, workspace_at
from kernel import LONG_SLICES, slice_of

from prodml_magics.actions.apart import apart
from prodml_magics.actions.deploy import deploy
from prodml_magics.actions.services import Services
from prodml_magics.actions.shadow import shadow
from prodml_magics.actions.workspace import Workspace
from prodml_magics.rollouts.shadow import shadowed
from prodml_magics.wire.requests import Deploy, Shadow

WORK = 20
"""Milliseconds and more a run."""


def workers(gateway: int) -> list[psutil.Process]:
    """The processes that answer for one model each."""
    found = psutil.Process(gateway).children(recursive=True)
    return [process for process in found if "prodml_magics.inference.onnx_worker" in process.cmdline()]


def test_a_slow_shadow_has_a_process_until_it_is_live_and_a_quick_one_has_none(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path / ".prodml")
    placed = add_version(workspace, 1)
    add_version(workspace, 2, c=0.1)
    add_version(workspace, 3, work=WORK)
    with services(workspace) as running:
        url = str(deploy(workspace, Deploy(model="cancer@1")).url)
        wait_for(lambda: answers(url))
        report = running.gateway()
        assert report is not None
        quick = shadow(workspace, Shadow(model="cancer@2"))
        assert quick.note == "" and not workers(report.pid)
        slow = shadow(workspace, Shadow(model="cancer@3"))
        assert slow.note.startswith("a run of version 3 takes ")
        assert slow.note.endswith(" ms, so it has a process of its own while it is a shadow")
        (process,) = workers(report.pid)
        assert mirrored(workspace, running, url, placed.rows[:3].tolist()) == {2: 3, 3: 3}
        if LONG_SLICES:
            assert slice_of(process.pid) == 2 * slice_of(report.pid), "whoever answers comes first"
        again = deploy(workspace, Deploy(model="cancer@3"))
        assert again.version == 3
        wait_for(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
        assert not workers(report.pid)


def mirrored(workspace: Workspace, running: Services, url: str, rows: list[list[float]]) -> dict[int, int]:
    """How many of these rows each shadow has answered."""
    status, _ = post(url + "/infer", {"inputs": [{"name": "input", "shape": [3, 30], "datatype": "FP32", "data": rows}]})
    assert status == 200

    def seen() -> dict[int, int]:
        running.drain()
        found = workspace.lake.rows("cancer", arms=["shadow"], columns=["version"])
        return {} if found.is_empty() else dict(found["version"].value_counts().iter_rows())

    wait_for(lambda: len(seen()) == 2)
    return seen()


def test_what_was_live_before_and_what_cannot_be_measured_stays_where_it_is(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path / ".prodml")
    add_version(workspace, 1, work=WORK)
    add_version(workspace, 2)
    add_version(workspace, 3, work=WORK)
    go_live(workspace, 1)
    go_live(workspace, 2)
    unseen = shadowed(workspace.route("cancer"), workspace.files("cancer", 3), 1.0)
    with services(workspace) as running:
        down = Services(workspace_at(tmp_path / "other"))
        assert apart(down, unseen, 3) == (unseen, ""), "the gateway is down"
        before = shadowed(workspace.route("cancer"), workspace.files("cancer", 1), 1.0)
        assert apart(running, before, 1) == (before, ""), "version 1 is the one to go back to"
        moved, note = apart(running, unseen, 3)
        assert moved.file(3).isolate and note
        assert apart(running, moved, 3) == (moved, ""), "it has one already"
