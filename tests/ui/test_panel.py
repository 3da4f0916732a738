"""The panel in a real JupyterLab, behind a base URL as a hub gives it, in a real browser."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from lab.fake_backend import FakeBackend
from playwright.sync_api import Locator, Page, expect
from ui.lab_server import Lab, write_settings

from prodml_magics.wire.routes import ShadowRoute
from prodml_magics.wire.status import ModelStatus, TimelineEntry, Traffic

pytestmark = pytest.mark.browser


def _cancer() -> ModelStatus:
    traffic = Traffic(requests=10_234, rows=12_876, errors=3, requests_per_second=12.4, p50_ms=0.84, p99_ms=3.2)
    shadows = (ShadowRoute(version=3, sample=0.25),)
    return ModelStatus(name="cancer", live=2, previous=1, shadows=shadows, revision=3, versions=(1, 2, 3), traffic=traffic)


def _entry(number: int, kind: str, summary: str) -> TimelineEntry:
    at = datetime.now(UTC) - timedelta(minutes=3)
    return TimelineEntry(id=number, at=at, actor="ana", model="cancer", kind=kind, summary=summary, cause="tour")


def _serve(backend: FakeBackend, *models: ModelStatus, entries: tuple[TimelineEntry, ...] = ()) -> None:
    backend.up()
    state = backend.read()
    state.status = msgspec.structs.replace(state.status, models=models)
    state.entries = entries
    state.revision += 1
    backend.write(state)


def open_panel(page: Page, lab: Lab) -> Locator:
    """Open JupyterLab on a clean workspace, and the panel by its icon in the side bar."""
    page.goto(lab.url())
    tab = page.get_by_role("tab", name="prodml: what is live")
    tab.click()
    panel = page.locator("#prodml-panel")
    expect(panel).to_be_visible()
    return panel


def _asked(page: Page) -> list[str]:
    """Addresses of the panel's requests from now on; the list grows."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/prodml/api/" in request.url else None)
    return asked


def test_a_newcomer_starts_the_services(page: Page, lab: Lab, backend: FakeBackend) -> None:
    panel = open_panel(page, lab)
    expect(panel.get_by_text("%deploy cancer")).to_be_visible()
    expect(panel.get_by_text("down", exact=True)).to_have_count(2)
    panel.get_by_role("button", name="Start services").click()
    expect(panel.get_by_text("up", exact=True)).to_have_count(2)
    expect(panel.get_by_text("127.0.0.1:8571")).to_be_visible()
    assert backend.read().asked == ["up"]


def test_models_and_decisions_show_and_roll_back(page: Page, lab: Lab, backend: FakeBackend) -> None:
    _serve(backend, _cancer(), entries=(_entry(2, "deploy", "version 2 live, version 1 kept as previous"),))
    panel = open_panel(page, lab)
    for text in ("v2 live", "v3 shadow 25 %", "v1 previous", "12.4/s", "10.2k", "version 2 live, version 1 kept as previous"):
        expect(panel.get_by_text(text, exact=True)).to_be_visible()
    panel.get_by_role("button", name="Roll back cancer to version 1").click()
    page.get_by_label("Why?").fill("errors since the switch")
    page.get_by_role("button", name="Roll back to version 1", exact=True).click()
    expect(panel.get_by_text("v1 live", exact=True)).to_be_visible()
    assert backend.read().asked[-1] == "rollback cancer: errors since the switch"


def test_a_change_made_elsewhere_shows_by_itself(page: Page, lab: Lab, backend: FakeBackend, tmp_path: Path) -> None:
    write_settings(tmp_path, "prodml-magics", "panel", refreshInterval=50)  # so that only an event can bring it in time
    page.clock.install()
    asked = _asked(page)
    _serve(backend, _cancer())
    panel = open_panel(page, lab)
    expect(panel.get_by_text("v2 live", exact=True)).to_be_visible()
    before = len(asked)
    page.clock.run_for(20_000)
    assert len(asked) - before <= 2, "the interval of the settings is followed: at most the answer to loading them"
    _serve(backend, msgspec.structs.replace(_cancer(), live=3, previous=2, shadows=()))
    expect(panel.get_by_text("v3 live", exact=True)).to_be_visible(timeout=20_000)


def test_nothing_is_asked_while_the_panel_is_hidden(page: Page, lab: Lab, backend: FakeBackend) -> None:
    page.clock.install()
    asked = _asked(page)
    page.goto(lab.url())
    expect(page.get_by_role("tab", name="prodml: what is live")).to_be_visible()
    page.clock.run_for(60_000)
    assert asked == []
    page.get_by_role("tab", name="prodml: what is live").click()
    panel = page.locator("#prodml-panel")
    expect(panel.get_by_text("%deploy cancer")).to_be_visible()
    with page.expect_response("**/prodml/api/status*"):
        page.clock.run_for(6_000)  # an interval and a bit: it polls while it is visible
    page.get_by_role("tab", name="File Browser").click()
    expect(panel).to_be_hidden()
    before = len(asked)
    page.clock.run_for(60_000)
    assert asked[before:] == []
    with page.expect_request("**/prodml/api/status*"):
        page.get_by_role("tab", name="prodml: what is live").click()


def test_trouble_is_one_clear_line_above_the_last_state(page: Page, lab: Lab, backend: FakeBackend) -> None:
    _serve(backend, _cancer())
    panel = open_panel(page, lab)
    expect(panel.get_by_text("v2 live", exact=True)).to_be_visible()
    state = backend.read()
    state.error = ("Unavailable", "the ledger is locked by another process; run `prodml doctor`")
    backend.write(state)
    panel.get_by_role("button", name="Refresh").click()
    expect(panel.get_by_role("alert")).to_contain_text("the ledger is locked by another process; run prodml doctor")
    expect(panel.get_by_text("v2 live", exact=True)).to_be_visible()


def test_the_command_palette_opens_the_panel(page: Page, lab: Lab) -> None:
    page.goto(lab.url())
    expect(page.get_by_role("tab", name="prodml: what is live")).to_be_visible()
    page.keyboard.press("Control+Shift+KeyC")
    page.get_by_placeholder("SEARCH", exact=True).fill("prodml")
    page.locator(".lm-CommandPalette-item", has_text="prodml: Show panel").click()
    expect(page.locator("#prodml-panel")).to_be_visible()


def test_the_panel_is_still_open_after_a_reload(page: Page, lab: Lab) -> None:
    page.goto(lab.url("lab"))
    with page.expect_response(lambda answer: "/api/workspaces/" in answer.url and answer.request.method == "PUT"):
        page.get_by_role("tab", name="prodml: what is live").click()
    expect(page.locator("#prodml-panel")).to_be_visible()
    page.reload()
    expect(page.locator("#prodml-panel")).to_be_visible()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_nothing_sticks_out(page: Page, lab: Lab, backend: FakeBackend, tmp_path: Path, theme: str) -> None:
    write_settings(tmp_path, "@jupyterlab/apputils-extension", "themes", theme=theme)
    long = "customer-lifetime-value.with-a-very-long-name_of_a_model"
    broken = ModelStatus(name=long, live=12, previous=11, problem="version 12: sha256 of model.onnx differs; run `prodml doctor`")
    _serve(backend, _cancer(), broken, entries=(_entry(1, "deploy", "version 12 live, " + "x" * 90),))
    panel = open_panel(page, lab)
    expect(panel.get_by_text("v2 live", exact=True)).to_be_visible()
    wider = "node => [...node.querySelectorAll('*')].filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0)"
    for width in (240, 420):
        panel.evaluate("(node, width) => { node.style.width = width + 'px' }", width)
        sticking = panel.evaluate(wider + ".filter(e => getComputedStyle(e).textOverflow !== 'ellipsis').map(e => e.outerHTML)")
        assert sticking == []
        expect(panel.get_by_text("sha256 of model.onnx differs")).to_be_visible()
