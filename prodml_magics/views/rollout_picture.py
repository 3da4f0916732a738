"""The picture of a rollout: how much each guard has shown, and how much it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from prodml_magics.views.palette import ALARM, INK, MUTED, REFERENCE
from prodml_magics.views.picture import WIDTH, Picture, render

__all__ = ["rollout_picture"]

_LEAST, _MOST = 1e-2, 1e6
_SAYS = {"e_worse": "worse", "e_no_worse": "no worse"}


def rollout_picture(guards: Sequence[Mapping[str, Any]], *, alpha: float, title: str) -> Picture:
    """Two bars a guard, its e-values against both nulls, on a log scale cut at a hundredth and a million; the line is 1/alpha.
    A guard whose e-values are both 1 says that there is no evidence yet.

    A guard has ``metric``, ``e_worse``, ``e_no_worse``.
    """
    import altair as alt

    bars = [
        {"guard": guard["metric"], "says": says, "e": _cut(guard[name]), "from": 1.0}
        for guard in guards
        for name, says in _SAYS.items()
    ]
    scale = alt.Scale(type="log", domain=[_LEAST, _MOST], nice=False)
    colours = alt.Scale(domain=list(_SAYS.values()), range=[ALARM, REFERENCE])
    across = alt.X("e:Q", scale=scale, axis=alt.Axis(title="e-value, evidence for", values=[0.01, 1, 100, 1e4, 1e6], format="~g"))
    drawn = (
        alt.Chart(alt.Data(values=bars))
        .mark_bar(height=11)
        .encode(
            x=across,
            x2="from:Q",
            y=alt.Y("guard:N", title=None, sort=None, axis=alt.Axis(ticks=False, domain=False, labelColor=INK, labelLimit=200)),
            yOffset=alt.YOffset("says:N", sort=list(_SAYS.values())),
            color=alt.Color("says:N", scale=colours, legend=alt.Legend(title="evidence for", orient="right")),
        )
    )
    line = (
        alt.Chart(alt.Data(values=[{"e": 1 / alpha}])).mark_rule(color=INK, strokeDash=[4, 3]).encode(x=alt.X("e:Q", scale=scale))
    )
    silent = [guard["metric"] for guard in guards if all(guard[name] == 1.0 for name in _SAYS)]
    said = (
        alt.Chart(alt.Data(values=[{"guard": name, "e": 1.0, "text": "no evidence yet"} for name in silent]))
        .mark_text(align="right", dx=-6, color=MUTED, fontSize=11)
        .encode(x=alt.X("e:Q", scale=scale), y=alt.Y("guard:N", sort=None), text="text:N")
    )
    chart = alt.layer(drawn, line, *([said] if silent else [])).properties(width=WIDTH - 280, height=46 * len(guards))
    return render(
        chart, title, f"a verdict is reached right of the dashed line (1/alpha = {1 / alpha:g}), however often one looks"
    )


def _cut(value: float) -> float:
    return min(max(value, _LEAST), _MOST) if math.isfinite(value) else _MOST
