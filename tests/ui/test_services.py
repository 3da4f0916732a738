"""The panel on the real actions: nothing between browser and processes is a double."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from homes import add_version, infer_body, post, services, wait_for, workspace_at
from playwright.sync_api import Page, expect
from ui.lab_server import Lab
from ui.test_panel import open_panel

from prodml_magics.actions import verbs
from prodml_magics.actions.deploy import deploy
from prodml_magics.actions.workspace import Workspace
from prodml_magics.clock import SystemClock
from prodml_magics.wire.requests import Deploy, Down, Status

pytestmark = pytest.mark.browser


def test_the_panel_starts_the_real_services_and_sees_them_stop(page: Page, start_lab: Callable[..., Lab], tmp_path: Path) -> None:
    home = tmp_path / "home-of-models"
    workspace = Workspace(home, actor="test", clock=SystemClock())
    panel = open_panel(page, start_lab(environment={"PRODML_HOME": str(home)}))
    try:
        panel.get_by_role("button", name="Start services").click()
        expect(panel.get_by_text("up", exact=True)).to_have_count(2, timeout=60_000)
        report = verbs.run(workspace, Status()).record
        expect(panel.get_by_text(report.gateway.url.removeprefix("http://"))).to_be_visible()
    finally:
        verbs.run(workspace, Down())
    expect(panel.get_by_text("down", exact=True)).to_have_count(2)


def test_a_model_that_is_served_is_shown_with_its_traffic_and_rolled_back_from_the_panel(
    page: Page, start_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    workspace = workspace_at(tmp_path / "home-of-models")
    placed = add_version(workspace, 1)
    add_version(workspace, 2, c=0.01)
    with services(workspace):
        deploy(workspace, Deploy(model="cancer@1"))
        url = deploy(workspace, Deploy(model="cancer@2")).url
        panel = open_panel(page, start_lab(environment={"PRODML_HOME": str(workspace.home)}))
        card = panel.get_by_role("listitem", name="cancer")
        expect(card).to_contain_text("v2")
        for _ in range(30):
            assert post(f"{url}/infer", infer_body(placed.rows[:1]))[0] == 200
        panel.get_by_role("button", name="Refresh").click()
        expect(card).to_contain_text("30")
        card.get_by_role("button", name="Roll back cancer to version 1").click()
        page.get_by_role("dialog").get_by_role("button", name="Roll back to version 1").click()
        expect(panel).to_contain_text("rollback")
        wait_for(lambda: verbs.run(workspace, Status()).record.models[0].live == 1)
        expect(card).to_contain_text("v1")
