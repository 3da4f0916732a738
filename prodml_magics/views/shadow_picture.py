"""The picture of a shadow: what it would have answered beside what was answered, and how long each took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prodml_magics.views.palette import CURRENT, GRID, INK, MUTED, REFERENCE
from prodml_magics.views.picture import Picture, render

__all__ = ["shadow_picture"]

_MOST_POINTS = 1_000
_QUANTILES = ("p50", "p95", "p99")


def shadow_picture(summary: Mapping[str, Any]) -> Picture:
    """Draw a comparison. Keys of `summary`:

    ``model``; ``live`` and ``shadow``, the version numbers; ``rows`` compared; ``agreement``, the share of rows with the
    same answer, or None; ``pairs``, [live, shadow] scores of some of these rows; ``score``, what a score is (such as
    ``probability of 1``); ``latency_ms``, a mapping of ``live`` and ``shadow`` to ``p50``, ``p95``, ``p99``.
    """
    import altair as alt

    names = {"live": f"version {summary['live']} (live)", "shadow": f"version {summary['shadow']} (shadow)"}
    parts = [
        _scores(alt, summary["pairs"], names, summary.get("score", "prediction")),
        _latency(alt, summary["latency_ms"], names),
    ]
    return render(alt.hconcat(*parts, spacing=44), _finding(summary), _explanation(summary))


def _finding(summary: Mapping[str, Any]) -> str:
    who = f"{summary['model']}: version {summary['shadow']}"
    if not summary["rows"]:
        return f"{who} has no rows to compare yet"
    if summary.get("agreement") is None:
        return f"{who} beside version {summary['live']} on {summary['rows']:,} rows"
    return f"{who} agrees with version {summary['live']} on {_share(summary['agreement'])} of {summary['rows']:,} rows"


def _share(agreement: float) -> str:
    """A share that reads 100 % only when it is."""
    return "100 %" if agreement == 1 else f"{min(agreement * 100, 99.99):.4g} %"


def _explanation(summary: Mapping[str, Any]) -> str:
    return f"Left: {len(summary['pairs']):,} of the rows; on the diagonal both say the same. Right: time of the model runs."


def _scores(alt: Any, pairs: Sequence[Sequence[float]], names: Mapping[str, str], score: str) -> Any:
    data = [{"live": live, "shadow": shadow} for live, shadow in pairs]
    values = [value for pair in pairs for value in pair] or [0.0, 1.0]
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 0.5, high + 0.5
    scale = alt.Scale(domain=[low, high], nice=False, zero=False)
    base = alt.Chart(alt.Data(values=data))
    marks = _points(alt, base, scale, names) if len(data) <= _MOST_POINTS else _cells(alt, base, scale, names)
    ends = alt.Chart(alt.Data(values=[{"live": low, "shadow": low}, {"live": high, "shadow": high}]))
    line = ends.mark_line(color=MUTED, strokeDash=[4, 3], strokeWidth=1)
    diagonal = line.encode(x=alt.X("live:Q", scale=scale), y=alt.Y("shadow:Q", scale=scale))
    layers = (diagonal, marks) if len(data) <= _MOST_POINTS else (marks, diagonal)
    return alt.layer(*layers).properties(width=270, height=270, title=_title(alt, score))


def _axes(alt: Any, names: Mapping[str, str], scale: Any, **kwargs: Any) -> dict[str, Any]:
    low, high = scale.domain
    axis = alt.Axis(values=[low + (high - low) * k / 4 for k in range(5)], format=".3~g")
    return {
        "x": alt.X("live:Q", title=names["live"], scale=scale, axis=axis, **kwargs),
        "y": alt.Y("shadow:Q", title=names["shadow"], scale=scale, axis=axis, **kwargs),
    }


def _points(alt: Any, base: Any, scale: Any, names: Mapping[str, str]) -> Any:
    return base.mark_circle(size=34, opacity=0.5, color=REFERENCE).encode(**_axes(alt, names, scale))


def _cells(alt: Any, base: Any, scale: Any, names: Mapping[str, str]) -> Any:
    legend = alt.Legend(title="rows", orient="right", gradientLength=110)
    colour = alt.Color("count():Q", scale=alt.Scale(type="log", range=["#cfe3f1", REFERENCE, "#00263d"]), legend=legend)
    return base.mark_rect().encode(**_axes(alt, names, scale, bin=alt.Bin(maxbins=36)), color=colour)


def _latency(alt: Any, latency: Mapping[str, Mapping[str, float]], names: Mapping[str, str]) -> Any:
    found = {arm: latency.get(arm, {}) for arm in names}
    data = [
        {"arm": names[arm], "quantile": q, "ms": of_arm[q]} for arm, of_arm in found.items() for q in _QUANTILES if q in of_arm
    ]
    colours = alt.Scale(domain=list(names.values()), range=[REFERENCE, CURRENT])
    legend = alt.Legend(title=None, orient="bottom", direction="vertical")
    across = alt.X(
        "quantile:N",
        title=None,
        sort=list(_QUANTILES),
        axis=alt.Axis(labelAngle=0, ticks=False, domainColor=GRID, labelColor=INK),
    )
    up = alt.Y("ms:Q", title="milliseconds", axis=alt.Axis(tickCount=5))
    base = alt.Chart(alt.Data(values=data)).encode(x=across, xOffset=alt.XOffset("arm:N", sort=list(names.values())), y=up)
    bars = base.mark_bar(cornerRadiusEnd=2, opacity=0.9).encode(color=alt.Color("arm:N", scale=colours, legend=legend))
    labels = base.mark_text(dy=-6, fontSize=10, color=MUTED).encode(text=alt.Text("ms:Q", format=".2~g"))
    return alt.layer(bars, labels).properties(width=230, height=270, title=_title(alt, "latency"))


def _title(alt: Any, text: str) -> Any:
    return alt.Title(text, fontSize=12, fontWeight="bold", anchor="start", offset=6)
