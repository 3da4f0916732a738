"""The picture of a drift result: the effect of every column, and the worst columns in detail."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from prodml_magics.views.palette import ALARM, CALM, CURRENT, INK, MUTED, REFERENCE, UNSURE
from prodml_magics.views.picture import PERCENT, WIDTH, Picture, render, wrapped

__all__ = ["drift_picture"]

_MOST_BARS = 20
_MOST_DETAILS = 4
_MOST_LEVELS = 8
_STATES = {"drifted": ALARM, "undecided": UNSURE, "not drifted": CALM}
_SIDES = {"reference": REFERENCE, "now": CURRENT}

Row = Mapping[str, Any]


def drift_picture(rows: Sequence[Row], details: Mapping[str, Row], *, tolerance: float = 0.1) -> Picture:
    """Draw a result of `detect`: `rows` are those of its frame, `details` map names to `ColumnDetail.to_dict()`.

    Bars are the effects of at most 20 columns, largest first, with a tick at the lower confidence bound and a line at
    the tolerance; below are reference and now of up to four of the columns with details, largest effect first.
    """
    import altair as alt

    ordered = sorted(rows, key=lambda row: -_place(row))
    shown = ordered[:_MOST_BARS]
    parts = [_bars(alt, shown, tolerance)] if shown else [_nothing(alt)]
    worst = [row for row in ordered if row["column"] in details][:_MOST_DETAILS]
    if worst:
        parts.append(_panels(alt, [(row, details[row["column"]]) for row in worst]))
    chart = alt.vconcat(*parts, spacing=26).resolve_scale(color="independent")
    return render(chart, _finding(ordered), _explanation(ordered))


def _place(row: Row) -> float:
    """The effect; columns that came or went, or hold another kind of values, have none and come first."""
    return row["effect"] if row["effect"] is not None else math.inf if row["drifted"] else 0.0


def _finding(rows: Sequence[Row]) -> str:
    drifted = [str(row["column"]) for row in rows if row["drifted"]]
    if not drifted:
        return f"None of {len(rows)} columns has drifted"
    names = ", ".join(_short(name) for name in drifted[:3]) + (" and others" if len(drifted) > 3 else "")
    return f"{len(drifted)} of {len(rows)} columns drifted: {names}"


def _explanation(rows: Sequence[Row]) -> str:
    own = " Diamond: its tolerance." if len({row.get("tolerance") for row in rows[:_MOST_BARS]}) > 1 else ""
    text = "Effect: KS distance, total variation (categories) or change of the missing share. Tick: its lower confidence bound."
    more = f" The {_MOST_BARS} largest of {len(rows)} are shown." if len(rows) > _MOST_BARS else ""
    return f"{text}{own}{more}"


def _short(name: str, length: int = 28) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"


def _state(row: Row) -> str:
    return "undecided" if row["drifted"] is None else "drifted" if row["drifted"] else "not drifted"


def _bars(alt: Any, rows: Sequence[Row], tolerance: float) -> Any:
    data = [
        {
            "position": i,
            "column": _short(str(row["column"])),
            "effect": row["effect"],
            "low": row["effect_low"],
            "tolerance": row.get("tolerance") or tolerance,
            "state": _state(row),
            "told": _short(str(row["reason"]), 64) if row["effect"] is None and row["drifted"] else None,
        }
        for i, row in enumerate(rows)
    ]
    names = json.dumps([entry["column"] for entry in data])
    axis = alt.Axis(
        title=None, labelLimit=200, ticks=False, domain=False, grid=False, labelColor=INK, labelExpr=f"{names}[datum.value]"
    )
    place = alt.Y("position:O", axis=axis, scale=alt.Scale(paddingInner=0.25))
    states = [state for state in _STATES if any(entry["state"] == state for entry in data)]
    colours = alt.Scale(domain=states, range=[_STATES[state] for state in states])
    shared = {entry["tolerance"] for entry in data}
    top = max(1.25 * max(shared), *(entry["effect"] or 0.0 for entry in data))
    across = alt.X(
        "effect:Q", title="effect", scale=alt.Scale(domain=[0, min(1.0, 1.04 * top)], nice=False), axis=alt.Axis(tickCount=6)
    )
    legend = alt.Legend(title=None, orient="bottom", direction="horizontal", offset=2)
    base = alt.Chart(alt.Data(values=data))
    bars = base.mark_bar(cornerRadiusEnd=2).encode(x=across, y=place, color=alt.Color("state:N", scale=colours, legend=legend))
    low = base.transform_filter("datum.low > 0").mark_tick(color=INK, thickness=1.5, size=9).encode(x="low:Q", y=place)
    limits = _tolerance(alt, shared.pop()) if len(shared) == 1 else (_own_tolerances(base, place),)
    told = base.transform_filter("isValid(datum.told)").mark_text(align="left", dx=4, color=ALARM, fontSize=10.5)
    words = [told.encode(x=alt.value(0), y=place, text="told:N")] if any(entry["told"] for entry in data) else []
    return alt.layer(bars, low, *words, *limits).properties(width=WIDTH - 240, height=max(60, 19 * len(data)))


def _own_tolerances(base: Any, place: Any) -> Any:
    """A dot per column, since each has a tolerance of its own."""
    return base.mark_point(shape="diamond", filled=True, color=INK, size=26, opacity=1).encode(x="tolerance:Q", y=place)


def _tolerance(alt: Any, tolerance: float) -> tuple[Any, Any]:
    base = alt.Chart(alt.Data(values=[{"at": tolerance, "text": f"tolerance {tolerance:g}"}]))
    line = base.mark_rule(color=INK, strokeDash=[4, 3]).encode(x="at:Q")
    label = base.mark_text(align="left", baseline="bottom", dx=3, dy=-3, y=0, color=MUTED, fontSize=10.5).encode(
        x="at:Q", text="text:N"
    )
    return line, label


def _nothing(alt: Any) -> Any:
    base = alt.Chart(alt.Data(values=[{"text": "no columns to compare"}]))
    return base.mark_text(color=MUTED, fontSize=13).encode(text="text:N").properties(width=WIDTH - 240, height=60)


def _panels(alt: Any, worst: Sequence[tuple[Row, Row]]) -> Any:
    panels = [_panel(alt, row, detail) for row, detail in worst]
    return alt.concat(*panels, columns=2, spacing=30).resolve_scale(color="shared")


def _panel(alt: Any, row: Row, detail: Row) -> Any:
    draw = _steps if detail["edges"] else _levels
    lines = wrapped(str(row["reason"]), 46)
    reason = lines if len(lines) <= 2 else [lines[0], f"{lines[1]} …"]
    style = {"fontSize": 12, "fontWeight": "bold", "anchor": "start", "offset": 8, "frame": "group", "subtitleFontSize": 10.5}
    title = alt.Title(_short(str(row["column"]), 40), subtitle=reason, subtitlePadding=3, **style)
    return draw(alt, detail).properties(width=WIDTH / 2 - 120, height=125, title=title)


def _colour(alt: Any) -> Any:
    scale = alt.Scale(domain=list(_SIDES), range=list(_SIDES.values()))
    return alt.Color("side:N", scale=scale, legend=alt.Legend(title=None, orient="bottom", direction="horizontal"))


def _steps(alt: Any, detail: Row) -> Any:
    """Two filled step lines on the shared grid."""
    data = [
        {"value": edge, "share": share, "side": side}
        for side, shares in (("reference", detail["reference"]), ("now", detail["current"]))
        for edge, share in zip(detail["edges"], [*shares, *shares[-1:]], strict=True)
    ]
    across = alt.X("value:Q", title=None, scale=alt.Scale(zero=False, nice=False), axis=alt.Axis(grid=False, tickCount=6))
    up = alt.Y("share:Q", title="share of rows", stack=None, axis=alt.Axis(labelExpr=PERCENT, tickCount=4))
    mark = {"interpolate": "step-after", "fillOpacity": 0.28, "line": {"strokeWidth": 1.4}}
    return alt.Chart(alt.Data(values=data)).mark_area(**mark).encode(x=across, y=up, color=_colour(alt))


def _levels(alt: Any, detail: Row) -> Any:
    """Two bars per level."""
    data = [
        {"level": _short(level, 22) or "(empty)", "order": i, "share": share, "side": side}
        for side, shares in (("reference", detail["reference"]), ("now", detail["current"]))
        for i, (level, share) in enumerate(zip(detail["levels"][:_MOST_LEVELS], shares, strict=False))
    ]
    place = alt.Y(
        "level:N",
        title=None,
        sort=alt.SortField("order"),
        axis=alt.Axis(ticks=False, domain=False, labelLimit=150, labelColor=INK),
    )
    across = alt.X("share:Q", title="share of rows", axis=alt.Axis(labelExpr=PERCENT, tickCount=5))
    offset = alt.YOffset("side:N", sort=list(_SIDES))
    return alt.Chart(alt.Data(values=data)).mark_bar(opacity=0.85).encode(x=across, y=place, yOffset=offset, color=_colour(alt))
