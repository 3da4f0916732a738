"""The exact difference between two routes and the rollout behind them: what ``--dry-run`` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from prodml_magics.actions.formats import span
from prodml_magics.rollouts.guards import margin_text
from prodml_magics.wire.rollouts import RolloutState
from prodml_magics.wire.routes import Route

__all__ = ["changes"]

_ASIDE = ("revision", "files", "format")


def changes(before: Route, after: Route, rollout: RolloutState | None = None) -> tuple[str, ...]:
    """One line for each field that changes, as ``live: 1 → 2``; the last tells of the rollout that begins.

    >>> changes(Route("cancer", 1, live=1), Route("cancer", 2, live=2, previous=1))
    ('live: 1 → 2', 'previous: none → 1', 'loaded: 1 → 2, 1')
    """
    found = list(_lines("", _plain(before), _plain(after)))
    loaded = [", ".join(map(str, route.loaded())) or "none" for route in (before, after)]
    if loaded[0] != loaded[1]:
        found.append(f"loaded: {loaded[0]} → {loaded[1]}")
    if rollout is not None:
        found.append(f"rollout: {_told(rollout)}")
    return tuple(found)


def _plain(route: Route) -> dict[str, Any]:
    fields = msgspec.to_builtins(route)
    shadows = {f"version {each['version']}": f"{100 * each['sample']:.0f} % of the rows" for each in fields.pop("shadows")}
    return {**{name: value for name, value in fields.items() if name not in _ASIDE}, "shadow": shadows}


def _lines(name: str, before: Any, after: Any) -> Iterator[str]:
    if before == after:
        return
    if isinstance(before, dict | None) and isinstance(after, dict | None):
        for key in dict.fromkeys((*(before or ()), *(after or ()))):
            yield from _lines(f"{name} {key}".strip(), (before or {}).get(key), (after or {}).get(key))
        return
    yield f"{name}: {_shown(before)} → {_shown(after)}"


def _shown(value: Any) -> str:
    if value in (None, "", [], ()):
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _told(state: RolloutState) -> str:
    plan = state.plan
    guards = ", ".join(f"{guard.metric} by {margin_text(guard)}" for guard in plan.guards)
    way = "watched" if plan.at_once else " → ".join(f"{step:g} %" for step in plan.steps) + ", each at least"
    watch = f"{way} {span(plan.bake)}; worse is {guards}, alpha {plan.alpha:g}"
    return f"{state.phase}, version {plan.candidate} against {plan.control}, {watch}"
