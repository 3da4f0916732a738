"""A canary plan from what was typed, refused where it cannot be meant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from prodml_magics.errors import UsageError

__all__ = ["LEAST_STEP", "read_steps"]

LEAST_STEP = 0.01
"""Percent of the traffic that either version gets at least: one request in 10,000."""


def read_steps(text: str | Sequence[float]) -> tuple[float, ...]:
    """Shares of the traffic in percent: rising, at least `LEAST_STEP`, at most 100; short of 100 by as much, or 100.

    >>> read_steps("1,5,25,50,100")
    (1.0, 5.0, 25.0, 50.0, 100.0)
    """
    words = text.split(",") if isinstance(text, str) else list(text)
    if not any(str(word).strip() for word in words):
        raise UsageError("the ladder has no steps; write percents of the traffic, such as --canary 1,5,25,50,100")
    steps = tuple(_percent(word) for word in words)
    if any(after <= before for before, after in pairwise(steps)):
        raise UsageError(
            f"the steps {_shown(steps)} do not rise; write them in order, such as --canary {_shown(sorted(set(steps)))}"
        )
    if steps[0] >= 100:
        raise UsageError(
            "a ladder of only 100 is no canary; deploy at once with %deploy NAME@V, or begin lower: --canary 5,25,100"
        )
    return steps


def _percent(word: object) -> float:
    try:
        value = float(str(word).strip().removesuffix("%"))
    except ValueError:
        value = math.nan
    if not 0 < value <= 100:
        raise UsageError(
            f"{ascii(str(word))[:40]} is no step; write percents above 0 and up to 100, such as --canary 1,5,25,50,100"
        )
    if value < LEAST_STEP or 100 - LEAST_STEP < value < 100:
        raise UsageError(
            f"a step of {ascii(str(word).strip())[:40]} leaves one version less than {LEAST_STEP:g} % of the traffic, too little to "
            f"compare; write {f'{LEAST_STEP:g} or more' if value < 50 else '100'}, such as --canary 1,5,25,50,100"
        )
    return value


def _shown(steps: Sequence[float]) -> str:
    return ",".join(f"{step:g}" for step in steps)
