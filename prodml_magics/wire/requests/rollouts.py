"""Verbs about rollouts and what they rest on."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from prodml_magics.wire.requests.base import MODEL, WHY, Request, flag, positional

__all__ = ["Labels", "Plan", "Replay", "Rollout", "Whatif"]


class Rollout(Request, frozen=True):
    """See how a canary fares and what it waits for, or steer it by hand."""

    model: Annotated[str, MODEL]
    pause: Annotated[bool, flag("stay at this share until it is resumed; harm still takes it back")] = False
    resume: Annotated[bool, flag("go on after a pause or a hold")] = False
    step: Annotated[bool, flag("go one step on now, whatever the guards say")] = False
    promote: Annotated[bool, flag("make it live now, whatever the guards say")] = False
    abort: Annotated[bool, flag("put all traffic back on the version before")] = False
    why: Annotated[str, WHY] = ""


class Plan(Request, frozen=True):
    """How long a ladder needs, at the traffic of the last days, until its guards can see an effect."""

    model: Annotated[str, MODEL]
    canary: Annotated[str, flag("shares of the traffic in percent, rising", "PERCENTS")] = "1,5,25,50,100"
    effect: Annotated[str, flag("what must be seen, as margins are written (default: the margins)", "EFFECTS")] = ""
    power: Annotated[float, Meta(gt=0, lt=1), flag("probability with which it must be seen", "SHARE")] = 0.8
    bake: Annotated[str, flag("the least time in a step", "DURATION")] = "10m"
    min_rows: Annotated[int, Meta(ge=1), flag("requests that the canary must have answered in a step", "N")] = 200
    guard: Annotated[str, flag("what must not get worse (default: error_rate,latency_p99)", "GUARDS")] = ""
    margin: Annotated[str, flag("by how much it may (default: error_rate=0.005,latency_p99=20%)", "MARGINS")] = ""
    alpha: Annotated[float, Meta(gt=0, lt=1), flag("rate of wrong verdicts that is allowed", "RATE")] = 0.05
    deadline: Annotated[str, flag("how long a step may take", "DURATION")] = "24h"
    window: Annotated[str, flag("the stretch of traffic to plan with", "DURATION")] = "1d"
    simulate: Annotated[
        Annotated[int, Meta(ge=20, le=10_000)] | None,
        flag(
            "also simulate so many rollouts in each step with the very tests, all guards together, for the final plan (seconds a step)",
            "RUNS",
        ),
    ] = None
    strict: Annotated[bool, flag("refuse a ladder that leaves a step before it can have seen the effect")] = False


class Whatif(Request, frozen=True):
    """Decide the past rollouts of a model anew, under another ladder or other guards, from what was recorded of them."""

    model: Annotated[str, MODEL]
    canary: Annotated[str, flag("shares of the traffic in percent, rising (default: as each was)", "PERCENTS")] = ""
    guard: Annotated[str, flag("what must not get worse (default: as it was)", "GUARDS")] = ""
    margin: Annotated[str, flag("by how much it may, such as error_rate=0.01 (default: as it was)", "MARGINS")] = ""
    alpha: Annotated[
        Annotated[float, Meta(gt=0, lt=1)] | None, flag("rate of wrong verdicts that is allowed (default: as it was)", "RATE")
    ] = None
    min_rows: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        flag("requests that the canary must have answered in a step (default: as it was)", "N"),
    ] = None
    bake: Annotated[str, flag("the least time in a step (default: as it was)", "DURATION")] = ""
    deadline: Annotated[str, flag("a step that is undecided for longer is held (default: as it was)", "DURATION")] = ""
    limit: Annotated[int, Meta(ge=1, le=100), flag("how many of the latest rollouts", "N")] = 10


class Replay(Request, frozen=True):
    """Answer recorded requests anew with another version, offline, and compare with what was answered."""

    model: Annotated[
        str, positional("version to try, as NAME@VERSION (default: NAME@candidate)", "NAME[@V]", completes="version")
    ]
    window: Annotated[str, flag("the latest stretch of recorded requests, such as 1h, 1d", "DURATION")] = "1d"
    speed: Annotated[str, flag("max, or so many times as fast as they came, such as 10", "TIMES")] = "max"
    tolerance: Annotated[float, Meta(gt=0, lt=1), flag("share of the rows on which it may answer otherwise", "SHARE")] = 0.02
    margin: Annotated[float, Meta(gt=0, lt=1), flag("by how much the mean score may move, as a share of its range", "SHARE")] = (
        0.02
    )
    alpha: Annotated[float, Meta(gt=0, lt=1), flag("rate of wrong verdicts that is allowed", "RATE")] = 0.05
    device: Annotated[Literal["auto", "cpu", "gpu"], flag("where to run it")] = "auto"


class Labels(Request, frozen=True):
    """Tell what the truth was about answered rows, or see how many rows have a label."""

    model: Annotated[str, MODEL]
    frame: Annotated[
        Any,
        positional(
            "frame with the columns request_id and label, and where there are: row (within its request, default 0), labelled_at, and "
            "metrics: any further columns of numbers, such as revenue, that canaries may be guarded by (metric:revenue)",
            "FRAME",
            reference=True,
        ),
    ] = None
