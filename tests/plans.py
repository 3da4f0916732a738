"""Plans, states and streams of requests for tests of rollouts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from prodml_magics.rollouts.evidence import Evidence, begin
from prodml_magics.rollouts.fold import Requests, Seen, fold
from prodml_magics.rollouts.guards import read_guards
from prodml_magics.rollouts.judge import judge, latched
from prodml_magics.wire.rollouts import RolloutPlan, RolloutState

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LADDER = (1.0, 5.0, 25.0, 50.0, 100.0)


def plan(**changes: Any) -> RolloutPlan:
    return RolloutPlan(**({"control": 1, "candidate": 2, "steps": LADDER, "guards": read_guards("", "")} | changes))


def rollout(plan: RolloutPlan, **changes: Any) -> RolloutState:
    fields = {"model": "cancer", "id": 3, "phase": "running", "step": 0, "began_at": NOON, "step_at": NOON, "by": "ann"}
    return RolloutState(**({"plan": plan} | fields | changes))


def stream(
    rng: np.random.Generator,
    requests: int,
    step: int,
    *,
    steps: tuple[float, ...] = LADDER,
    failing: tuple[float, float] = (0.005, 0.005),
    slow: float = 1.0,
    keys: list[str] | None = None,
    frauds: tuple[float, float] = (0.02, 0.02),
    scores: tuple[float, float] = (2.0, 2.0),
) -> Requests:
    """Randomised requests of one step, each a run of its own; `failing` are the error rates of control and canary.

    `slow` multiplies the times of the canary. `frauds` are the shares of answers that say so, `scores` the first parameter of the
    beta distribution of the scores, whose second is 8.
    """
    canary = rng.random(requests) < steps[step] / 100
    status = np.where(rng.random(requests) < np.where(canary, failing[1], failing[0]), 500, 200)
    latency = rng.lognormal(1.4, 0.6, requests) * np.where(canary, slow, 1.0)
    found = Requests(canary, np.full(requests, step), status, latency, np.ones(requests, np.int64), keys or [""] * requests)
    other = rng.spawn(1)[0]  # so that what is said changes nothing of what fails and how long it takes
    said = other.random(requests) < np.where(canary, frauds[1], frauds[0])
    return found._replace(said={"class:fraud": said}, score=other.beta(np.where(canary, scores[1], scores[0]), 8.0))


def earlier(rng: np.random.Generator) -> np.ndarray:
    """Latencies (ms) of the traffic before the rollout."""
    return rng.lognormal(1.4, 0.6, 5_000)


def until_harm(rng: np.random.Generator, chosen: RolloutPlan, step: int, batch: int, most: int, **how: Any) -> float:
    """Requests of both arms until a rollout that stays in `step` shows harm; inf when not within `most`."""
    evidence, seen, state = begin(chosen, 3, latencies=earlier(rng)), Seen(), rollout(chosen, step=step)
    for taken in range(batch, most + 1, batch):
        evidence = fold(chosen, evidence, stream(rng, batch, step, steps=chosen.steps, **how), seen)
        if judge(state, evidence).harm:
            return float(taken)
    return float("inf")


def walked(chosen: RolloutPlan, evidence: Evidence, batches: list[Requests]) -> Evidence:
    """`evidence` after `batches`, looked at behind each."""
    seen = Seen()
    for batch in batches:
        evidence = latched(chosen, fold(chosen, evidence, batch, seen))
    return evidence
