from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
from PIL import Image

from prodml_magics.views.drift_picture import drift_picture
from prodml_magics.views.palette import ALARM, INK, MUTED, UNSURE
from prodml_magics.views.picture import Picture
from prodml_magics.views.rollout_picture import rollout_picture
from prodml_magics.views.shadow_picture import shadow_picture
from prodml_magics.views.timeline_picture import timeline_picture
from prodml_magics.views.variants_picture import variants_picture
from prodml_magics.wire.results import PartScore, VariantRecord

Rows = list[dict[str, Any]]
Details = dict[str, dict[str, Any]]

TIMELINE = [
    {"at": "2026-11-23T09:00:00+00:00", "model": "cancer", "kind": "deploy", "live": 1},
    {"at": "2026-11-23T09:20:00+00:00", "model": "cancer", "kind": "shadow", "live": 1},
    {"at": "2026-11-23T09:45:00+00:00", "model": "cancer", "kind": "deploy", "live": 2},
    {"at": "2026-11-23T10:00:00+00:00", "model": "cancer", "kind": "rollback", "live": 1},
    {"at": "2026-11-23T10:05:00+00:00", "model": "digits", "kind": "undeploy", "live": None},
]


def _variant(name: str, took: float, **scores: Any) -> dict[str, Any]:
    record = VariantRecord(name=name, size_bytes=int(4e4 * took), microseconds=dict.fromkeys(("1", "32", "128"), took), **scores)
    return msgspec.to_builtins(record)


VARIANTS = {
    "rows": 900,
    "variants": [
        _variant("original", 1.0, score=0.93, score_near=0.5, changed=0.0),
        _variant("graph", 0.9, score=0.93, score_near=0.5, changed=0.0),
        _variant("int8", 0.4, score=0.92, changed=0.01, parts=(PartScore(part="label 1", rows=90, original=0.9, score=0.8),)),
        {**msgspec.to_builtins(VariantRecord(name="fp16", reason="it cannot be made"))},
    ],
}


def _shadow(rows: int = 300, **changes: Any) -> dict[str, Any]:
    scores = np.random.default_rng(0).random((rows, 2))
    latency = {"live": {"p50": 0.4, "p95": 1.0, "p99": 2.0}, "shadow": {"p50": 0.6, "p95": 1.7, "p99": 4.9}}
    plain = {"model": "cancer", "live": 1, "shadow": 2, "rows": rows, "agreement": 0.98, "pairs": scores.tolist()}
    return {**plain, "latency_ms": latency, **changes}


def _texts(picture: Picture) -> str:
    return " ".join(
        "".join(node.itertext()) for node in ElementTree.fromstring(picture.svg).iter("{http://www.w3.org/2000/svg}text")
    )


PICTURES: dict[str, Callable[[Rows, Details], Picture]] = {
    "drift": drift_picture,
    "timeline": lambda rows, details: timeline_picture(TIMELINE),
    "shadow": lambda rows, details: shadow_picture(_shadow()),
    "variants": lambda rows, details: variants_picture(VARIANTS, "digits@1: int8 is worth its difference"),
    "shadow, many rows": lambda rows, details: shadow_picture(_shadow(3_000)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_fits_a_notebook_has_many_marks_and_names_no_address(name: str, rows: Rows, details: Details) -> None:
    picture = PICTURES[name](rows, details)
    root = ElementTree.fromstring(picture.svg)
    assert 500 < float(root.attrib["width"]) < 900
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) > 20
    assert set(re.findall(r"https?://[^\"' ]+", picture.svg)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert " ".join(picture.title.split()[:3]) in _texts(picture)


@pytest.mark.parametrize("name", PICTURES)
def test_a_png_shows_more_than_one_colour(name: str, rows: Rows, details: Details) -> None:
    image = Image.open(io.BytesIO(PICTURES[name](rows, details).png(scale=1)))
    colours = image.convert("RGB").getcolors(1 << 20)
    assert colours is not None
    assert len(colours) > 50


def test_the_drift_picture_states_the_finding_and_shows_the_worst_twenty(rows: Rows, details: Details) -> None:
    picture = drift_picture(rows, details)
    assert picture.title == "3 of 27 columns drifted: radius, city, weight"
    texts = _texts(picture)
    assert "The 20 largest of 27 are shown" in texts
    assert "Diamond: its tolerance" in texts
    assert "<script>alert(1)</scr" in texts
    assert "<script" not in picture.svg


def test_a_tolerance_that_all_columns_share_is_one_line_with_its_name(rows: Rows, details: Details) -> None:
    texts = _texts(drift_picture([{**row, "tolerance": 0.1} for row in rows], details))
    assert "tolerance 0.1" in texts
    assert "Diamond" not in texts


def test_without_drift_the_drift_picture_says_so(rows: Rows) -> None:
    calm = [row for row in rows if row["drifted"] is False]
    assert drift_picture(calm, {}).title == f"None of {len(calm)} columns has drifted"


def test_undefined_and_undecided_columns_are_drawn(rows: Rows) -> None:
    unknown = {**rows[0], "column": "empty", "effect": None, "effect_low": None, "drifted": None}
    assert "undecided" in _texts(drift_picture([unknown], {}))
    assert "no columns to compare" in _texts(drift_picture([], {}))


def test_columns_that_came_or_went_stand_first_in_words(rows: Rows) -> None:
    gone = {**rows[-1], "column": "gone", "effect": None, "effect_low": None, "tolerance": None, "drifted": True}
    picture = drift_picture([*rows, {**gone, "reason": "column vanished"}], {})
    assert picture.title.startswith("4 of 28 columns drifted: gone, radius")
    assert "column vanished" in _texts(picture)
    alone = drift_picture([{**gone, "reason": "new column"}], {})
    assert alone.title == "1 of 1 columns drifted: gone"
    assert "new column" in _texts(alone)


def test_names_that_look_like_code_are_only_names(rows: Rows) -> None:
    name = 'it\'s "datum" \\ [0] {x} 日本'
    assert name in _texts(drift_picture([{**rows[0], "column": name}], {}))


def test_the_timeline_says_who_answers_now() -> None:
    assert timeline_picture(TIMELINE).title == "cancer answers with version 1, digits is not served"
    assert timeline_picture([]).title == "Nothing has been decided yet"


def test_the_timeline_draws_one_bar_per_stretch_whatever_the_order() -> None:
    texts = [_texts(timeline_picture(entries, until="2026-11-23T10:30:00Z")) for entries in (TIMELINE, TIMELINE[::-1])]
    assert texts[0] == texts[1]
    assert re.findall(r"v\d", texts[0]) == ["v1", "v2", "v1"]


def test_the_timeline_draws_canaries_with_their_share_and_incidents_in_their_colour() -> None:
    canary = {"model": "cancer", "live": 1, "canary": 2}
    steps = [
        {"at": "2026-11-23T09:00:00Z", "model": "cancer", "kind": "deploy", "live": 1},
        {**canary, "at": "2026-11-23T09:10:00Z", "kind": "canary", "share": 0.05},
        {**canary, "at": "2026-11-23T09:20:00Z", "kind": "step", "share": 0.25},
        {"at": "2026-11-23T09:30:00Z", "model": "cancer", "kind": "hold", "live": 1, "tier": "daily"},
        {"at": "2026-11-23T09:40:00Z", "model": "cancer", "kind": "rollback", "live": 1, "tier": "immediate"},
    ]
    drawn = timeline_picture(steps, until="2026-11-23T10:00:00Z")
    assert re.findall(r"\d+ %", _texts(drawn)) == ["5 %", "25 %"]  # the hold leaves the share as it is
    assert ALARM in drawn.svg and UNSURE in drawn.svg and "thin bars are canaries" in _texts(drawn)
    calm = timeline_picture(TIMELINE)
    assert ALARM not in calm.svg and "thin bars" not in _texts(calm)


def test_the_shadow_picture_never_rounds_up_to_full_agreement() -> None:
    assert "on 98 % of 300 rows" in shadow_picture(_shadow()).title
    assert "on 99.99 % of 300 rows" in shadow_picture(_shadow(agreement=0.999999)).title
    assert "on 100 % of 300 rows" in shadow_picture(_shadow(agreement=1.0)).title


def test_a_shadow_without_rows_latency_or_classes_is_drawn() -> None:
    assert shadow_picture(_shadow(0, latency_ms={})).title == "cancer: version 2 has no rows to compare yet"
    assert shadow_picture(_shadow(agreement=None)).title == "cancer: version 2 beside version 1 on 300 rows"
    assert shadow_picture(_shadow(pairs=[[1.0, 1.0]])).svg


def test_rows_and_details_are_plain_json(rows: Rows, details: Details) -> None:
    assert json.loads(json.dumps([rows, details], allow_nan=False)) == [rows, details]


def test_a_rollout_without_evidence_says_so_in_words() -> None:
    fresh = {"metric": "error_rate", "e_worse": 1.0, "e_no_worse": 1.0}
    grown = {"metric": "latency_p99", "e_worse": 0.2, "e_no_worse": 7.0}
    said = [_texts(rollout_picture(guards, alpha=0.05, title="cancer@2")) for guards in ([fresh, fresh | grown], [grown])]
    assert ["no evidence yet" in text for text in said] == [True, False]


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_has_no_ground_of_its_own(name: str, rows: Rows, details: Details) -> None:
    image = Image.open(io.BytesIO(PICTURES[name](rows, details).png(scale=1)))
    assert image.mode == "RGBA" and image.getpixel((1, 1))[3] == 0  # type: ignore[index]


@pytest.mark.parametrize("page", ["#ffffff", "#212121"])
@pytest.mark.parametrize("colour", [INK, MUTED])
def test_what_is_written_reads_on_a_light_and_on_a_dark_page(colour: str, page: str) -> None:
    """The contrast of WCAG 2.1: 3 to 1 is the least for graphics and large text."""
    light, dark = sorted(map(_luminance, (colour, page)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) > 3.8


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("name", ["variants", "shadow"])
def test_percents_are_written_with_a_space(name: str, rows: Rows, details: Details) -> None:
    texts = _texts(PICTURES[name](rows, details))
    assert re.search(r"\d %", texts) and not re.search(r"\d%", texts)
