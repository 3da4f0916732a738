"""The verdicts of guards as rows of a table."""

from __future__ import annotations

from typing import Any

from prodml_magics.wire.rollouts import GuardVerdict

__all__ = ["guard_row"]


def guard_row(guard: GuardVerdict) -> tuple[Any, ...]:
    """What a guard says, as one row of a table."""
    sign = "" if guard.of == "ratio" else "+"
    high = "∞" if guard.high is None else f"{guard.high:{sign}.3g}"
    ratio = "–" if guard.low is None else f"{'× ' if guard.of == 'ratio' else ''}{guard.low:{sign}.3g} to {high}"
    needed = "–" if guard.verdict in ("worse", "no worse", "better") else guard.rows_needed or "unknown"
    return (
        guard.metric,
        guard.verdict,
        guard.margin,
        guard.e_worse,
        guard.e_no_worse,
        guard.canary_events,
        guard.control_events,
        ratio,
        needed,
    )
