"""What actions answer, as records: the JSON of ``--json``, of the Lab API and of ``result.to_dict()``."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from prodml_magics.wire.rollouts import GuardVerdict, PairedVerdict
from prodml_magics.wire.routes import Flavor
from prodml_magics.wire.status import TimelineEntry

__all__ = [
    "Change",
    "Check",
    "ContractChange",
    "DoctorRecord",
    "DriftRecord",
    "LabelsRecord",
    "OnsetRecord",
    "OptimizeRecord",
    "PlanRecord",
    "PlanStep",
    "RegisterRecord",
    "ReplayRecord",
    "RolloutRecord",
    "ServicesRecord",
    "ShadowComparison",
    "ShadowRecord",
    "TimelineRecord",
    "TokenEntry",
    "TokensRecord",
    "VariantRecord",
    "WhatifRecord",
    "WhatifRollout",
    "Window",
]


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that were looked at: ``[since, until)`` and how many."""

    since: datetime | None
    until: datetime | None
    rows: int


class ContractChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a new version changes for those who ask it, beside the version that is live, or the one registered before."""

    version: int
    """The version that it is compared with."""
    compatibility: Literal["FULL", "BACKWARD", "FORWARD", "NONE"]
    """BACKWARD: who asks that version can ask this one; FORWARD: the other way round; FULL: both."""
    changes: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()
    """What would fail for clients of that version."""
    rows: int = 0
    """Rows recorded for that version that were looked at, the latest of the last 7 days."""
    refused: int = 0
    """Those of them that this version would refuse."""


class RegisterRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A new version and what was proved of it."""

    name: str
    version: int
    task: str
    metrics: dict[str, float]
    importance: dict[str, float]
    parity: dict[str, Any]
    contract: ContractChange | None = None
    """Null for the first version of a model."""
    flavor: Flavor = "onnx"
    size_bytes: int
    seconds: float
    warnings: tuple[str, ...] = ()


class PartScore(msgspec.Struct, frozen=True, kw_only=True):
    """What a variant scores on a part of the rows, beside what the version does there."""

    part: str
    """A quarter of a numeric column, or the rows of one class."""
    rows: int
    original: float
    score: float


class VariantRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A variant of a version, measured on the rows given."""

    name: str
    size_bytes: int = 0
    microseconds: dict[str, float] = {}
    """Of one run, by its rows; one thread, CPU."""
    score: float | None = None
    """Accuracy, or root mean square error; null where no target was given."""
    drop: float | None = None
    """By how much it is worse than the version."""
    changed: float | None = None
    """Share of rows with another label, or a number that moved by more than 1 % of the spread."""
    changed_near: float | None = None
    """The same of rows whose two best probabilities lie within 0.1."""
    worst_slice: str = ""
    score_near: float | None = None
    """The score of those rows; null without them or without a target."""
    parts: tuple[PartScore, ...] = ()
    """The three parts of the rows whose score loses most; empty without a target."""
    largest_difference: float | None = None
    kept: bool = False
    reason: str = ""
    """Why it was not kept."""


class OptimizeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The variants of a version, the version itself first."""

    model: str
    version: int
    rows: int
    max_drop: float
    calibrated_on: str = ""
    """The rows that showed the ranges of activations."""
    variants: tuple[VariantRecord, ...]
    chosen: str | None
    """The fastest one that is worth its difference; null where none is."""
    seconds: float


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a route: deploy, rollback, undeploy, undo, start and end of a shadow."""

    model: str
    kind: str
    version: int | None
    """Version that is live now."""
    previous: int | None
    shadows: tuple[int, ...] = ()
    url: str | None = None
    event: int | None = None
    """Entry of the ledger; null when nothing had to change."""
    seconds: float = 0.0
    serving: bool = True
    """False when the gateway is down: the change takes effect when it starts."""
    note: str = ""
    bake: float | None = None
    """Seconds for which the version is watched, and goes back by itself; null where there is nothing to return to."""
    changes: tuple[str, ...] = ()
    """Of a dry run: every field that would change, as ``live: 1 → 2``."""


class ShadowComparison(msgspec.Struct, frozen=True, kw_only=True):
    """One shadow beside the live version, on the same rows."""

    model: str
    live: int
    shadow: int
    pairs: int
    """Rows that both have answered."""
    agreement: float | None
    """Share of pairs with the same label; null for regressors."""
    mean_difference: float | None
    """Mean of shadow minus live, of the probability of the second class or of the prediction."""
    max_difference: float | None
    live_errors: int = 0
    shadow_errors: int = 0
    live_run_ms: float | None = None
    """Median time of the model run that a row was in."""
    shadow_run_ms: float | None = None
    dropped: int = 0
    verdict: PairedVerdict | None = None
    """What the pairs have shown; null without any."""


class ShadowRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the shadows of a model would have answered."""

    model: str
    comparisons: tuple[ShadowComparison, ...]
    seen_until: datetime | None = None


class ReplayRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Recorded requests, answered anew by a candidate."""

    model: str
    comparison: ShadowComparison
    window: Window
    skipped: int
    """Recorded rows that could not be replayed, since a value that the candidate needs was not recorded."""
    seconds: float
    run_seconds: float
    """Of these, in the model."""
    rows_per_second: float
    device: str
    seen_until: datetime | None = None


class LabelsRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Labels that were taken, or how many rows have one."""

    model: str
    taken: int
    """Labels in the frame; 0 when none was given."""
    matched: int = 0
    """Of these, labels of rows that are in the lake."""
    unknown: int = 0
    """Labels whose request and row the lake does not know (yet)."""
    ambiguous: int = 0
    """Labels whose request id several requests bear: they go to the newest that had come by then."""
    corrected: int = 0
    """Labels that take the place of an earlier one."""
    served: int | None = None
    """Rows that were answered; null when a frame was given."""
    labelled: int | None = None
    """Of these, rows with a label."""
    warnings: tuple[str, ...] = ()


class TokenEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A token without its secret."""

    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    created_by: str = ""
    former_until: datetime | None = None
    """Until when the secret before this one counts."""


class TokensRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens of a home, and what became of one of them."""

    tokens: tuple[TokenEntry, ...]
    done: str = ""
    """``made``, ``renewed``, ``revoked``; empty for a list."""
    name: str = ""
    secret_file: str | None = None
    """Where its secret was laid down."""
    required: bool = False
    """Whether predictions need a token."""


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
    """``live`` when it would have got all traffic, ``rolled back``, ``held``, or ``undecided`` when the record ends before."""
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


class OnsetRecord(msgspec.Struct, frozen=True, kw_only=True):
    """When a column began to move within the window, and between which moments that was."""

    column: str
    at: datetime
    earliest: datetime
    latest: datetime


class AlarmRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm of a watch for ever."""

    at: datetime
    began: datetime
    """With which hour the evidence begins."""
    columns: tuple[str, ...]
    """Strongest first."""
    reason: str


class WatchRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How a watch for ever stands."""

    state: Literal["learning", "watching"]
    days_left: int
    """Until hours are judged, while it learns; days are judged meanwhile."""
    since: datetime | None
    """Where the served hours begin."""
    judged_from: datetime | None
    """From which hour on the first series is judged by the hour."""
    hours: int
    evidence: float
    """Of what raises an alarm, in [0, 1]."""
    average_days: float
    """Between two false alarms, at the least."""
    alarms: tuple[AlarmRecord, ...] = ()


class DriftRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Verdict per column."""

    model: str | None
    version: int | None
    verdict: Literal["drift", "no drift", "undecided"]
    drifted: tuple[str, ...]
    outputs: tuple[str, ...]
    """Which of the columns are answers of the model; all others are its inputs."""
    columns: list[dict[str, Any]]
    window: Window
    device: str
    seconds: float
    against: str = "the reference"
    """What was compared with."""
    summary: str = ""
    """Why, in a sentence or two."""
    dataset: dict[str, Any] = {}
    """All columns together, weighted by importance: verdict, share, possible, weighted."""
    joint: list[dict[str, Any]] = []
    """Findings of statistics of all numeric columns at once, where some were asked for."""
    calibration: dict[str, Any] = {}
    """Whether a classifier's scores came true, from the labels that have come for the window; empty without them."""
    slices: list[dict[str, Any]] = []
    """Parts of the rows, worst first: all of --by, else those that were found in which a column moved more than over all rows."""
    onsets: tuple[OnsetRecord, ...] = ()
    """Of drifted numeric inputs of a model that began to move within the window or, where sketches are kept, the 30 days before."""
    seen_until: datetime | None = None
    """Rows answered after this moment were not seen; null when all were."""
    watch: WatchRecord | None = None
    """With --sequential."""
    source: Literal["rows", "sketches"] = "rows"
    """What the window was read from."""
    rows_read: int = 0
    """Of a window read from sketches: rows of the lake that had to be read because its ends cut a bucket."""
    note: str = ""


class TimelineRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Entries of the ledger, oldest first."""

    entries: tuple[TimelineEntry, ...]


class ServicesRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What `up` and `down` did."""

    state: Literal["up", "down"]
    changed: bool
    url: str | None
    seconds: float


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One finding of the doctor."""

    name: str
    state: Literal["ok", "warning", "problem"]
    found: str
    remedy: str = ""


class DoctorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """All findings."""

    checks: tuple[Check, ...]
