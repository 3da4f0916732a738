"""Stretches of time as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from prodml_magics.errors import UsageError

__all__ = ["before", "parse_duration", "parse_milliseconds", "parse_stretch", "parse_time"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d{1,6}(?:\.\d+)?)\s*([smhdw])\Z")


def parse_duration(text: str) -> timedelta:
    """Read ``90s``, ``30m``, ``1h``, ``7d`` or ``2w``.

    >>> parse_duration("1h")
    datetime.timedelta(seconds=3600)
    """
    match = _DURATION.match(text.strip())
    if not match or not float(match[1]):
        raise UsageError(f"{text!r} is not a duration; write 90s, 30m, 1h, 7d or 2w")
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


def parse_milliseconds(text: str, flag: str) -> float:
    """Read ``20ms`` or ``1.5s`` as milliseconds.

    >>> parse_milliseconds("1.5s", "--slo-p99")
    1500.0
    """
    match = re.match(r"(\d{1,6}(?:\.\d+)?)\s*(ms|s)\Z", text.strip())
    if not match or not float(match[1]):
        raise UsageError(f"{flag} {text!r} is not a latency; write 20ms or 1.5s")
    return float(match[1]) * (1000 if match[2] == "s" else 1)


def parse_time(text: str, flag: str) -> datetime:
    """A moment in UTC; one without a zone is UTC."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{flag} {text!r} is not a time; write 2026-11-23T14:00 or 2026-11-23T14:00+01:00") from error
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def before(moment: datetime, length: timedelta, shown: str) -> datetime:
    """The moment that long before; `shown` is the flag with its value."""
    try:
        return moment - length
    except OverflowError as error:
        raise UsageError(f"{shown} reaches back before the calendar begins; leave it out to look at all rows") from error


def parse_stretch(text: str, until: datetime) -> tuple[datetime, datetime] | None:
    """``SINCE/UNTIL``, or a duration that ends at `until`; None for anything else."""
    first, slash, second = text.partition("/")
    if slash:
        since, end = parse_time(first, "--against"), parse_time(second, "--against")
        if since >= end:
            raise UsageError(f"the stretch is empty: {first} is not before {second}; swap them")
        return since, end
    if not _DURATION.match(text.strip()):
        return None
    return before(until, parse_duration(text), f"--against {text}"), until
