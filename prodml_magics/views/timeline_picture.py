"""The picture of a timeline: which version answered when, which canary had which share, what was decided, and what was an incident."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from prodml_magics.views.palette import ALARM, INK, MUTED, UNSURE, VERSIONS
from prodml_magics.views.picture import WIDTH, Picture, render

__all__ = ["timeline_picture"]

_MARKS = {
    "deploy": "triangle-right",
    "rollback": "triangle-left",
    "undo": "diamond",
    "shadow": "circle",
    "unshadow": "cross",
    "undeploy": "square",
    "canary": "triangle-up",
    "step": "arrow",
    "promote": "triangle-right",
    "abort": "triangle-down",
    "pause": "M-0.7,-0.8H-0.2V0.8H-0.7ZM0.2,-0.8H0.7V0.8H0.2Z",
    "resume": "M-0.7,-0.8H-0.2V0.8H-0.7ZM0.1,-0.8L0.9,0L0.1,0.8Z",
    "hold": "M-0.9,-0.3H0.9V0.3H-0.9Z",
    "finish": "M-0.9,0L-0.6,-0.3L-0.2,0.1L0.7,-0.8L1,-0.5L-0.2,0.7Z",
    "register": "M-0.4,-0.4H0.4V0.4H-0.4Z",
}
_OTHER = "circle"
_ALERTS = {"immediate": ALARM, "daily": UNSURE}
_LEGEND = "thin bars are canaries with their share; red marks are incidents, yellow ones wait for a person"
_TALL = 20

Entry = Mapping[str, Any]


def timeline_picture(entries: Sequence[Entry], *, until: datetime | str | None = None) -> Picture:
    """Draw what was live when. An entry has ``at`` (datetime or ISO 8601), ``model``, ``kind``, and ``live``, the version
    that answers after it or None; where there are, ``canary`` with its ``share`` after it, and the ``tier`` of the alert that it is.
    Order does not matter. Bars end at `until` (the last entry, when left out).
    """
    import altair as alt

    ordered = sorted(({**entry, "at": _moment(entry["at"])} for entry in entries), key=lambda entry: entry["at"])
    if not ordered:
        return render(_nothing(alt), "Nothing has been decided yet")
    end = max(_moment(until) if until else ordered[-1]["at"], ordered[-1]["at"])
    if end == ordered[0]["at"]:
        end += timedelta(minutes=1)
    bars = [bar for of_model in _by_model(ordered).values() for bar in _bars(of_model, end, "live")]
    canaries = [bar for of_model in _by_model(ordered).values() for bar in _bars(of_model, end, "canary")]
    told = any(entry.get("canary") or entry.get("tier") for entry in ordered)
    period = _period(ordered[0]["at"], end) + (f"; {_LEGEND}" if told else "")
    return render(_chart(alt, bars, canaries, ordered, end), _finding(ordered), period)


def _moment(at: datetime | str) -> datetime:
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _by_model(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    models: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        models[str(entry["model"])].append(entry)
    return models


def _bars(entries: Sequence[Entry], end: datetime, arm: str) -> list[dict[str, Any]]:
    """One bar per stretch with one version in the arm, and one share; entries that leave it alone do not cut it."""
    bars: list[dict[str, Any]] = []
    for entry, following in zip(_carried(entries), [*entries[1:], None], strict=True):
        stop = following["at"] if following else end
        if entry.get(arm) is None or stop == entry["at"]:
            continue
        which = {"model": entry["model"], "version": entry[arm], "share": entry.get("share") if arm == "canary" else None}
        if bars and which.items() <= bars[-1].items() and bars[-1]["stop"] == _stamp(entry["at"]):
            bars[-1]["stop"] = _stamp(stop)
        else:
            bars.append({**which, "start": _stamp(entry["at"]), "stop": _stamp(stop)})
    return bars


_CHANGE_NO_ROUTE = ("pause", "resume", "hold", "register")


def _carried(entries: Sequence[Entry]) -> list[Entry]:
    """Entries that change no traffic go on with the canary of the one before them."""
    found: list[Entry] = []
    for entry in entries:
        goes_on = found and entry["kind"] in _CHANGE_NO_ROUTE and entry.get("canary") is None
        found.append({**entry, "canary": found[-1].get("canary"), "share": found[-1].get("share")} if goes_on else entry)
    return found


def _stamp(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


def _finding(entries: Sequence[Entry]) -> str:
    live = {name: of_model[-1].get("live") for name, of_model in _by_model(entries).items()}
    now = [
        f"{name} is not served" if version is None else f"{name} answers with version {version}" for name, version in live.items()
    ]
    return ", ".join(now[:3]) + (f", and {len(now) - 3} more models" if len(now) > 3 else "")


def _period(start: datetime, end: datetime) -> str:
    return f"{start:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S} UTC"


def _chart(alt: Any, bars: Sequence[Entry], canaries: Sequence[Entry], entries: Sequence[Entry], end: datetime) -> Any:
    span = [_stamp(entries[0]["at"]), _stamp(end)]
    room = (span[1] - span[0]) // 50
    axis = alt.Axis(title="UTC", tickCount=6, grid=True, format=_clock(span[1] - span[0]))
    scale = alt.Scale(type="utc", domain=[span[0] - room, span[1] + room], nice=False)
    across = alt.X("start:T", scale=scale, axis=axis)
    place = alt.Y(
        "model:N", title=None, axis=alt.Axis(ticks=False, domain=False, labelLimit=160, labelColor=INK, labelFontSize=12)
    )
    versions = sorted({bar["version"] for bar in (*bars, *canaries)})
    colours = alt.Scale(domain=versions, range=[VERSIONS[i % len(VERSIONS)] for i in range(len(versions))])
    base = alt.Chart(
        alt.Data(values=[{**bar, "label": f"v{bar['version']}", "length": bar["stop"] - bar["start"]} for bar in bars])
    )
    coloured = alt.Color("version:N", scale=colours, legend=alt.Legend(title="version", orient="right"))
    live = base.mark_bar(height=_TALL, cornerRadius=3).encode(x=across, x2="stop:T", y=place, color=coloured)
    label = base.transform_filter(f"datum.length > {(span[1] - span[0]) * 0.04}").mark_text(
        align="left", dx=6, color="white", fontSize=11, fontWeight="bold"
    )
    models = len({entry["model"] for entry in entries})
    layers = [live, label.encode(x=across, y=place, text="label:N")]
    if canaries:
        layers += _canaries(alt, canaries, across, place, coloured, shortest=(span[1] - span[0]) * 0.05)
    layers.append(_events(alt, entries, place, scale))
    chart = alt.layer(*layers).resolve_scale(shape="independent")
    return chart.properties(width=WIDTH - 240, height=max(70, (84 if canaries else 58) * models))


def _canaries(alt: Any, canaries: Sequence[Entry], across: Any, place: Any, coloured: Any, *, shortest: float) -> list[Any]:
    """Above the live bar, and their share above them where there is room to write it."""
    values = [{**bar, "label": f"{bar['share'] * 100:.3g} %", "length": bar["stop"] - bar["start"]} for bar in canaries]
    base = alt.Chart(alt.Data(values=values))
    bar = base.mark_bar(height=7, cornerRadius=2, yOffset=-_TALL / 2 - 6).encode(x=across, x2="stop:T", y=place)
    text = base.transform_filter(f"datum.length > {shortest}").mark_text(align="left", dy=-_TALL / 2 - 15, color=INK, fontSize=10)
    return [bar.encode(color=coloured), text.encode(x=across, y=place, text="label:N")]


def _clock(milliseconds: int) -> str:
    """How finely to write times on an axis of that length."""
    hours = milliseconds / 3_600_000
    if hours > 72:
        return "%b %d"
    return "%b %d %H:%M" if hours > 12 else "%H:%M" if hours > 0.1 else "%H:%M:%S"


def _events(alt: Any, entries: Sequence[Entry], place: Any, scale: Any) -> Any:
    data = [
        {
            "at": _stamp(entry["at"]),
            "model": entry["model"],
            "kind": entry["kind"],
            "colour": _ALERTS.get(entry.get("tier") or "", INK),
        }
        for entry in entries
    ]
    found = {entry["kind"] for entry in data}
    kinds = [*(kind for kind in _MARKS if kind in found), *sorted(found - set(_MARKS))]
    shapes = alt.Scale(domain=kinds, range=[_MARKS.get(kind, _OTHER) for kind in kinds])
    legend = alt.Legend(title="decided", orient="right", symbolFillColor=MUTED, symbolStrokeColor=MUTED)
    return (
        alt.Chart(alt.Data(values=data))
        .mark_point(filled=True, size=75, yOffset=19, opacity=1)
        .encode(
            x=alt.X("at:T", scale=scale),
            y=place,
            shape=alt.Shape("kind:N", scale=shapes, legend=legend),
            color=alt.Color("colour:N", scale=None),
        )
    )


def _nothing(alt: Any) -> Any:
    base = alt.Chart(alt.Data(values=[{"text": "deploy a model, and its history starts here"}]))
    return base.mark_text(color=MUTED, fontSize=13).encode(text="text:N").properties(width=WIDTH - 240, height=60)
