"""Rollouts: how one fares, what a plan needs, what other guards would have decided."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from prodml_magics.wire.rollouts import GuardVerdict

__all__ = ["PlanRecord", "PlanStep", "RolloutRecord", "WhatifRecord", "WhatifRollout"]


class RolloutRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A canary rollout: where it stands, what its guards say, and what it waits for."""

    model: str
    version: int | None
    """Version that is live now."""
    previous: int | None
    url: str | None
    candidate: int
    control: int
    phase: Literal["planned", "running", "paused", "held", "baking", "done", "rolled back", "aborted"]
    step: int
    """Index into `steps`."""
    steps: tuple[float, ...]
    """Shares of the traffic in percent."""
    alpha: float
    began_at: datetime
    step_at: datetime
    by: str
    reason: str
    waits_for: str
    canary_requests: int
    """Exposure: requests that the candidate has answered in this rollout."""
    control_requests: int
    step_requests: int
    """Requests that it has answered in this step."""
    key: str = ""
    """Column by which the traffic is split; empty: by the header ``x-prodml-key``."""
    segment: str = ""
    """The part of the traffic that is split, as ``country=DE``; empty: all of it."""
    guards: tuple[GuardVerdict, ...]
    event: int | None = None
    note: str = ""
    changes: tuple[str, ...] = ()
    """Of a dry run: every field that would change, as ``canary version: none → 2``."""


class WhatifRollout(msgspec.Struct, frozen=True, kw_only=True):
    """One past rollout: how it went, and how it would have gone."""

    event: int
    """Entry of the ledger that began it."""
    began_at: datetime
    control: int
    candidate: int
    ended: str
    """How it ended: ``done``, ``rolled back``, ``aborted``, ``taken back`` by hand after it was live, or where it stands."""
    would_end: str
    """``live`` when it would get all traffic, ``rolled back``, ``held``, or ``undecided`` when the record ends before or cannot tell."""
    reason: str
    """Why, of what would have been."""
    exposure: int
    """Requests that the candidate answered before it was live, or until it was taken back."""
    would_expose: int
    hours: float
    """Until it was live, taken back or held."""
    would_take: float
    lent: float
    """Share of the exposure that would have been for which an answer of another request had to stand in."""
    note: str = ""
    unknown: tuple[str, ...] = ()
    """A line for each guard of which the past holds no evidence: it stayed undecided."""


class WhatifRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Past rollouts under another plan."""

    model: str
    rollouts: tuple[WhatifRollout, ...]
    exposure_saved: int
    """Requests that candidates which were taken back would have answered less; negative: more."""
    incidents: int
    """Rollouts that were rolled back, or taken back by hand after they were live."""
    caught: int
    """Of these, how many would have been rolled back."""
    hours_lost: float
    """By how much longer it would have taken candidates to be live that became so and stayed; negative: shorter."""


class PlanStep(msgspec.Struct, frozen=True, kw_only=True):
    """What one guard can see in one step."""

    percent: float
    guard: str
    effect: str
    rows_until_harm: int | None
    """Requests of both arms until the effect is shown with the asked power; null when it never is."""
    hours_until_harm: float | None
    rows_until_no_worse: int | None
    """Until a candidate that is as good is shown to be; null below 25 %, where it is not asked."""
    hours_until_no_worse: float | None
    rows_seen: int
    """Requests that the step sees at least before it is left."""
    sees: bool
    simulated_rows: int | None = None
    """The same as `rows_until_harm`, by simulation of the whole decision; null where it was not asked for, or the effect not seen."""


class PlanRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A ladder held against the traffic."""

    model: str
    version: int
    requests: int
    requests_per_hour: float
    error_rate: float
    power: float
    steps: tuple[PlanStep, ...]
    warnings: tuple[str, ...]
    proposal: str
    """A ladder that can see the effect; empty when there is none within the deadline."""
    simulated: int = 0
    """Rollouts that were simulated in each step; 0: the closed form alone."""
