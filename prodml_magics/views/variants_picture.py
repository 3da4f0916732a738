"""The picture of a version's variants: what each takes in time and bytes, and how well it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prodml_magics.views.palette import GRID, INK, MUTED, VERSIONS
from prodml_magics.views.picture import PERCENT, Picture, render

__all__ = ["variants_picture"]

_HEIGHT = 190
_BATCHES = ("1", "32", "128")


def variants_picture(record: Mapping[str, Any], title: str) -> Picture | None:
    """Draw an ``OptimizeRecord`` as a mapping; none where no variant was measured."""
    import altair as alt

    measured = [each for each in record["variants"] if each["microseconds"]]
    if len(measured) < 2:
        return None
    names = [each["name"] for each in measured]
    colours = alt.Scale(domain=names, range=list(VERSIONS[: len(names)]))
    parts = [_times(alt, measured, names, colours), _sizes(alt, measured, names, colours), _scores(alt, measured, names, colours)]
    return render(alt.hconcat(*parts, spacing=30), title, _explanation(record, measured))


def _explanation(record: Mapping[str, Any], measured: Sequence[Mapping[str, Any]]) -> str:
    told = "score" if measured[0]["score"] is not None else "share of answers that stayed the same"
    return (
        f"Time of one run and bytes as shares of the original's; {told} of all {record['rows']:,} rows (circle), of those near the "
        "threshold (square), of the part that loses most (triangle)."
    )


def _times(alt: Any, measured: Sequence[Mapping[str, Any]], names: list[str], colours: Any) -> Any:
    original = measured[0]["microseconds"]
    data = [
        {"variant": each["name"], "rows": rows, "share": each["microseconds"][rows] / original[rows]}
        for each in measured
        for rows in _BATCHES
    ]
    axis = alt.Axis(labelAngle=0, ticks=False, domainColor=GRID, labelColor=INK)
    base = alt.Chart(alt.Data(values=data)).encode(
        x=alt.X("rows:N", sort=list(_BATCHES), title="rows at once", axis=axis),
        xOffset=alt.XOffset("variant:N", sort=names),
        y=alt.Y("share:Q", title=None, axis=alt.Axis(labelExpr=PERCENT, tickCount=5)),
    )
    legend = alt.Legend(title=None, orient="bottom", columns=5)
    bars = base.mark_bar(cornerRadiusEnd=2, opacity=0.9).encode(color=alt.Color("variant:N", scale=colours, legend=legend))
    return alt.layer(bars, _whole(alt)).properties(width=240, height=_HEIGHT, title=_title(alt, "time"))


def _sizes(alt: Any, measured: Sequence[Mapping[str, Any]], names: list[str], colours: Any) -> Any:
    data = [{"variant": each["name"], "share": each["size_bytes"] / measured[0]["size_bytes"]} for each in measured]
    base = alt.Chart(alt.Data(values=data)).encode(
        x=alt.X("variant:N", sort=names, title=None, axis=alt.Axis(labels=False, ticks=False, domainColor=GRID)),
        y=alt.Y("share:Q", title=None, axis=alt.Axis(labelExpr=PERCENT, tickCount=5)),
    )
    bars = base.mark_bar(cornerRadiusEnd=2, opacity=0.9).encode(color=alt.Color("variant:N", scale=colours, legend=None))
    return alt.layer(bars, _whole(alt)).properties(width=110, height=_HEIGHT, title=_title(alt, "size"))


def _scores(alt: Any, measured: Sequence[Mapping[str, Any]], names: list[str], colours: Any) -> Any:
    data = [point for each in measured for point in _points(each)]
    shapes = alt.Scale(domain=["all", "near", "part"], range=["circle", "square", "triangle-up"])
    chart = alt.Chart(alt.Data(values=data)).mark_point(size=80, filled=True, opacity=0.85)
    return chart.encode(
        x=alt.X("variant:N", sort=names, title=None, axis=alt.Axis(labels=False, ticks=False, domainColor=GRID)),
        y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False, nice=True), axis=alt.Axis(format=".3~g", tickCount=5)),
        color=alt.Color("variant:N", scale=colours, legend=None),
        shape=alt.Shape("what:N", scale=shapes, legend=None),
    ).properties(width=200, height=_HEIGHT, title=_title(alt, "answers"))


def _points(each: Mapping[str, Any]) -> list[dict[str, Any]]:
    if each["score"] is not None:
        found = {"all": each["score"], "near": each["score_near"], "part": each["parts"][0]["score"] if each["parts"] else None}
    else:
        kept = {"all": each["changed"], "near": each["changed_near"], "part": None}
        found = {what: None if changed is None else 1 - changed for what, changed in kept.items()}
    return [{"variant": each["name"], "what": what, "value": value} for what, value in found.items() if value is not None]


def _whole(alt: Any) -> Any:
    """The line at 100 %."""
    return alt.Chart(alt.Data(values=[{"share": 1}])).mark_rule(color=MUTED, strokeDash=[4, 3]).encode(y="share:Q")


def _title(alt: Any, text: str) -> Any:
    return alt.Title(text, fontSize=12, fontWeight="bold", anchor="start", offset=6)
