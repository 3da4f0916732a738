"""The panel on the real actions: nothing between browser and processes is a double."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from ui.lab_server import Lab
from ui.test_panel import open_panel

from prodml_magics.actions import verbs
from prodml_magics.actions.workspace import Workspace
from prodml_magics.clock import SystemClock
from prodml_magics.wire.requests import Down, Status

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
