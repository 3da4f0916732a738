"""Which earlier rows a window is compared with: those just before it, a stretch, or the same hours of the weeks before."""

from __future__ import annotations

from datetime import datetime, timedelta

from prodml_magics.actions.windows import before, parse_stretch
from prodml_magics.errors import UsageError
from prodml_magics.wire.requests import Drift

__all__ = ["Stretch", "check_against", "earlier_said", "earlier_stretches", "same_hours"]

Stretch = tuple[datetime, datetime]
"""[since, until)"""

_WEEK = timedelta(weeks=1)
_WEEKS = 4
"""How many weeks are looked back when only the hours are asked for."""


def check_against(request: Drift, since: datetime | None, now: datetime) -> None:
    """Refuse what cannot be had before anything is waited for."""
    known = bool(since or request.last)
    named = request.against in ("reference", "previous") or "@" in request.against
    if not named and parse_stretch(request.against, since or now) is None:
        raise UsageError(
            f"--against {request.against!r} is none of reference, previous, a stretch such as 7d, SINCE/UNTIL, or NAME@V"
        )
    if request.same_hour and not known:
        raise UsageError("--same-hour needs to know which hours; give --window, --last or --since")
    if request.against == "previous" and not known:
        raise UsageError("--against previous needs to know how long the window is; give --window, --last or --since")


def earlier_stretches(request: Drift, since: datetime, until: datetime) -> tuple[Stretch, ...]:
    """What the window [since, until) is compared with, oldest first; empty where that is the training rows of a version."""
    if request.against == "previous":
        length = until - since
        reach = before(since, _weeks_of(length) * _WEEK if request.same_hour else length, "--against previous"), since
    elif request.against == "reference" and request.same_hour:
        reach = before(since, _WEEKS * _weeks_of(until - since) * _WEEK, "--same-hour"), since
    else:
        stretch = parse_stretch(request.against, since)
        if stretch is None and request.same_hour:
            raise UsageError(
                f"--same-hour compares with rows that were served, and --against {request.against} has none; leave it out"
            )
        if stretch is None:
            return ()
        reach = stretch
    if not request.same_hour:
        return (reach,)
    found = same_hours(since, until, reach)
    if not found:
        raise UsageError(
            f"--against {request.against} does not reach back to the same hours of a week before; give 4w, or leave it out"
        )
    return found


def earlier_said(request: Drift, stretches: int) -> str:
    """What such rows are called; `stretches` of them hold any."""
    weeks = f"{stretches} week{'' if stretches == 1 else 's'}"
    return f"rows of the same hours of {weeks}" if request.same_hour else "rows"


def same_hours(since: datetime, until: datetime, reach: Stretch) -> tuple[Stretch, ...]:
    """The parts of `reach` that lie a whole number of weeks before [since, until), oldest first, none of them twice.

    Hours are those of UTC. A window longer than a week is moved by as many weeks as it begins.

    >>> day = datetime(2026, 3, 10)
    >>> [f"{one:%m-%d}" for one, _ in same_hours(day, day + timedelta(hours=1), (day - timedelta(days=15), day))]
    ['02-24', '03-03']
    """
    step, found = _weeks_of(until - since) * _WEEK, []
    since, until = since - step, until - step
    while until > reach[0]:
        first, last = max(since, reach[0]), min(until, reach[1])
        if first < last:
            found.append((first, last))
        since, until = since - step, until - step
    return tuple(reversed(found))


def _weeks_of(length: timedelta) -> int:
    return max(1, -(-length // _WEEK))
