from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from playwright.sync_api import Browser

from prodml_magics.views import drift_widget as module
from prodml_magics.views.drift_widget import drift_widget

Rows = list[dict[str, Any]]
Details = dict[str, dict[str, Any]]

_STATIC = module._STATIC
_SUMMARY = {"title": "Drift of cancer", "facts": [["rows", "400"]]}

_PAGE = """<!doctype html><meta charset="utf-8"><style>%(css)s</style><body>
<div class="prodml-static-p1" id="static">the static table and picture</div><div id="cell"></div>
<script type="module">
import widget from "%(module)s";
const state = %(state)s, listeners = {};
const model = {
  get: (name) => state[name],
  set: (name, value) => { state[name] = value; (listeners[`change:${name}`] ?? []).forEach((heard) => heard()); },
  save_changes: () => {},
  on: (event, heard) => (listeners[event] ??= []).push(heard),
  off: (event, heard) => (listeners[event] = (listeners[event] ?? []).filter((other) => other !== heard)),
};
window.state = state;
window.cleanup = widget.render({ model, el: document.getElementById("cell") });
window.ready = true;
</script>"""


@pytest.fixture(scope="module")
def page(browser: Browser, rows: Rows, details: Details) -> Any:
    """The widget in a page of its own, with a model that stands in for the kernel's."""
    state = {"rows": rows, "details": details, "summary": _SUMMARY, "picture_id": "p1", "selected": None}
    source = base64.b64encode((_STATIC / "drift.js").read_bytes()).decode()
    css = (_STATIC / "drift.css").read_text()
    html = _PAGE % {
        "css": css,
        "module": f"data:text/javascript;base64,{source}",
        "state": json.dumps(state).replace("<", "\\u003c"),
    }
    opened = browser.new_page()
    opened.set_content(html)
    opened.wait_for_function("window.ready")
    return opened


def _names(page: Any) -> list[str]:
    names: list[str] = page.locator("tbody tr").evaluate_all("lines => lines.map(line => line.dataset.column)")
    return names


def test_what_the_widget_sends_is_json(rows: Rows, details: Details) -> None:
    widget = drift_widget(rows, details, _SUMMARY, "p1")
    sent = {name: getattr(widget, name) for name in ("rows", "details", "summary", "picture_id", "selected")}
    assert json.loads(json.dumps(sent, allow_nan=False))["rows"] == rows
    widget.close()


@pytest.mark.parametrize("name", ["drift.js", "drift.css"])
def test_the_widget_names_no_address_but_the_svg_namespace(name: str) -> None:
    source = (_STATIC / name).read_text()
    assert set(re.findall(r"https?://[^\"' ]+", source)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|url\(|innerHTML|eval\(|fetch\(", source)


@pytest.mark.browser
def test_the_worst_column_is_first_and_drawn(page: Any, rows: Rows) -> None:
    assert len(_names(page)) == len(rows)
    assert _names(page)[0] == "radius"
    assert page.locator(".detail h4").inner_text() == "radius"
    assert page.locator(".detail path.reference").count() == page.locator(".detail path.current").count() == 1


@pytest.mark.browser
def test_a_column_is_shown_as_distribution_functions_too(page: Any) -> None:
    page.get_by_role("button", name="cumulative").press("Enter")
    for side in ("reference", "current"):
        assert page.locator(f".detail path.{side}.line").get_attribute("d").count("V") > 20
    page.locator(".detail .hit").last.hover()
    assert re.match(r"up to .*: reference [\d.]+ %, now [\d.]+ %", page.locator(".legend .value").inner_text())
    page.get_by_role("button", name="cumulative").press("Enter")
    assert page.locator(".detail path.line").count() == 0


@pytest.mark.browser
def test_the_static_table_and_picture_are_hidden_while_the_widget_lives_and_their_title_is_not_said_twice(page: Any) -> None:
    assert not page.locator("#static").is_visible()
    assert page.locator("h3").count() == 0
    page.evaluate("() => { const rule = document.head.lastChild; rule.remove(); window.rule = rule; }")
    assert page.locator("#static").is_visible()
    page.evaluate("() => document.head.append(window.rule)")


@pytest.mark.browser
def test_filtering_and_sorting_by_keyboard(page: Any) -> None:
    page.get_by_role("searchbox").fill("X0")
    assert _names(page) == sorted(_names(page), key=lambda name: -_effect(page, name))
    assert len(_names(page)) == 10
    page.get_by_role("button", name="column").press("Enter")
    assert _names(page) == [f"x{i:02}" for i in range(10)]
    assert page.get_by_role("columnheader", name="column").get_attribute("aria-sort") == "ascending"
    page.get_by_role("button", name="column").press("Enter")
    assert _names(page)[0] == "x09"
    page.get_by_role("searchbox").fill("")


def _effect(page: Any, name: str) -> float:
    effect: float = page.evaluate("name => state.rows.find(row => row.column === name).effect", name)
    return effect


@pytest.mark.browser
def test_choosing_a_row_by_keyboard_draws_its_categories_as_text(page: Any) -> None:
    page.locator("tr[data-column=city]").press("Enter")
    assert page.evaluate("state.selected") == "city"
    assert page.locator("tr[data-column=city]").get_attribute("aria-selected") == "true"
    levels = page.locator(".detail .level").all_text_contents()
    assert "<script>alert(1)</script>" in levels
    page.locator(".detail .hit").nth(levels.index("Rome")).hover()
    assert page.locator(".legend .value").inner_text().startswith("Rome: reference ")


@pytest.mark.browser
def test_only_drifted_or_undecided_can_be_shown(page: Any, rows: Rows) -> None:
    page.get_by_role("checkbox").check()
    expected = [row["column"] for row in rows if row["drifted"] is not False]
    assert sorted(_names(page)) == sorted(expected)
    assert page.get_by_role("status").inner_text() == f"{len(expected)} of 27 columns"
    page.get_by_role("checkbox").uncheck()


@pytest.mark.browser
@pytest.mark.parametrize(("width", "gone"), [(1000, set()), (800, {"JS", "missing"}), (560, {"JS", "missing", "rows", "reason"})])
def test_a_narrow_page_leaves_out_whole_columns_and_cuts_none(page: Any, width: int, gone: set[str]) -> None:
    page.set_viewport_size({"width": width + 40, "height": 800})
    heads = page.locator("thead th:visible")
    assert set(heads.all_inner_texts()) == {
        name
        for name in ("column", "verdict", "effect", "adjusted p", "PSI", "JS", "missing", "rows", "reason")
        if name not in gone
    }
    room = page.locator(".scroll").evaluate("box => box.scrollWidth - box.clientWidth")
    page.set_viewport_size({"width": 1280, "height": 720})
    assert room <= 0


@pytest.mark.browser
def test_closing_the_widget_brings_them_back(page: Any) -> None:
    page.evaluate("window.cleanup()")
    assert page.locator("#static").is_visible()
