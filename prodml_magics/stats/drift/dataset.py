"""All columns together: how much of what the model rests on has drifted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

__all__ = ["DRIFTED_FROM", "DatasetVerdict", "judge_dataset"]

DRIFTED_FROM = 0.5
"""The dataset has drifted when its drifted columns carry at least this share of the importance."""


class DatasetVerdict(NamedTuple):
    """`share` of the importance that drifted columns carry, `possible` when the undecided ones are counted too, in [0, 1].

    Where no importance is known every column counts alike, and `weighted` is False.
    """

    verdict: Literal["drift", "no drift", "undecided"]
    share: float
    possible: float
    weighted: bool


def judge_dataset(
    names: Sequence[str], drifted: Collection[str], undecided: Collection[str], importance: Mapping[str, float]
) -> DatasetVerdict:
    """Weigh columns by importance; a negative one (noise of permutation importance) counts as none.

    Only columns with a known importance are weighed when any of them has one above zero, so outputs of a model, which have
    none, do not count.

    >>> judge_dataset(["a", "b"], ["a"], [], {"a": 0.3, "b": 0.1}).verdict
    'drift'
    """
    weights = {name: max(0.0, importance.get(name, 0.0)) for name in names}
    weighted = sum(weights.values()) > 0
    if not weighted:
        weights = dict.fromkeys(names, 1.0)
    total = sum(weights.values()) or 1.0
    share = sum(weights[name] for name in drifted) / total
    possible = share + sum(weights[name] for name in undecided) / total
    verdict: Literal["drift", "no drift", "undecided"] = "no drift"
    if share >= DRIFTED_FROM:
        verdict = "drift"
    elif possible >= DRIFTED_FROM:
        verdict = "undecided"
    return DatasetVerdict(verdict, share, possible, weighted)
