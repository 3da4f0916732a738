"""A rollout as the ledger keeps it: its plan, where it stands, and what its guards say."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from prodml_magics.wire.routes import Segment

__all__ = ["Guard", "GuardVerdict", "PairedVerdict", "Phase", "RolloutPlan", "RolloutState", "Verdict"]

Verdict = Literal["better", "no worse", "worse", "undecided"]
Phase = Literal["running", "paused", "held", "baking", "done", "rolled back", "aborted"]
"""``paused`` by a person or by a mismatch of the split; ``held`` undecided, waiting for a person; ``baking`` live, and held against the
traffic before."""


class Guard(msgspec.Struct, frozen=True):
    """One thing that must not get worse, and by how much it may."""

    metric: str
    margin: float
    """In events per request when absolute (0.005), as a ratio when relative (0.2 for 20 %)."""
    relative: bool


class RolloutPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for; times in seconds."""

    control: int
    candidate: int
    steps: tuple[float, ...]
    """Shares of the traffic in percent, rising; 100 alone is a switch of all of it (blue-green)."""
    guards: tuple[Guard, ...]
    alpha: float = 0.05
    min_rows: int = 200
    """Requests that the canary must have answered in a step before it is left."""
    bake: float = 600.0
    """The least time in a step, and how long the candidate is watched once it is live."""
    deadline: float = 86_400.0
    """A step that is undecided for longer is held."""
    key: str = ""
    """Column whose value is the routing key; empty: the header ``x-prodml-key`` is."""
    segment: Segment | None = None
    """The part of the traffic that is split; null: all of it."""

    @property
    def at_once(self) -> bool:
        """Whether all traffic is switched at once, with nothing beside it to compare with."""
        return self.steps[0] >= 100


class RolloutState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a rollout stands; the ledger's latest is the state."""

    model: str
    id: int
    """Revision of the event that began it."""
    plan: RolloutPlan
    phase: Phase
    step: int
    """Index into the steps of the plan."""
    began_at: datetime
    step_at: datetime
    """When the step, the pause or the hold began."""
    by: str
    """Who began it."""
    reason: str = ""
    """Why it is in this phase, as one line."""

    @property
    def share(self) -> float:
        """Probability with which a key is the canary's in this step."""
        return self.plan.steps[self.step] / 100

    @property
    def splits(self) -> bool:
        """Whether both versions answer live traffic."""
        return self.phase in ("running", "paused", "held")

    @property
    def over(self) -> bool:
        """Whether nothing will happen any more."""
        return self.phase in ("done", "rolled back", "aborted")


class GuardVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the evidence says of one guard so far; valid at every look."""

    metric: str
    margin: str
    """As people write it: ``0.005`` or ``20%``."""
    verdict: Verdict
    e_worse: float
    """E-value against "no worse at all" (latency: beyond its floor)."""
    e_no_worse: float
    """E-value against "worse by the margin or more"."""
    canary_events: int
    control_events: int
    low: float | None
    high: float | None
    """Confidence sequence for the ratio of the rates, canary to control, or for the difference of the means (`of`); `high` is null
    where nothing bounds it."""
    canary_rows: int
    """Requests, or units with a label for guards that wait for labels."""
    control_rows: int
    of: Literal["ratio", "difference"] = "ratio"
    canary_mean: float | None = None
    """Of guards that average; null for all others."""
    control_mean: float | None = None
    rows_needed: int | None = None
    """Requests of both arms that "no worse" is expected to need still, at this step's share; null when it may never come."""
    note: str = ""


class PairedVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a shadow or a replay has shown; valid at every look."""

    verdict: Verdict
    reason: str
    e_worse: float
    """E-value against "within every tolerance"; with labels against "as often right"."""
    e_no_worse: float
    """The least of the e-values that have to be shown for "no worse"."""
    tolerance: float
    margin: float
    labelled: int
    """Pairs with a label."""
    accuracy_difference: float | None = None
    """Candidate minus live, over pairs with a label."""
    slices: tuple[str, ...] = ()
    """Parts of the rows on which it differs beyond the tolerance, the worst first."""
    pairs_needed: int | None = None
    """Pairs that "no worse" is expected to need still; null when it has been said or may never be."""
