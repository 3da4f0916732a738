"""Guards on business metrics: what a column of numbers beside the labels says, such as ``metric:revenue``.

metric:conversion:0..1     lies between 0 and 1 (what lies outside is cut to it): exact
metric:revenue             money and the like, without bounds: clipped, and valid asymptotically
metric:refund:lower        the lower the better; without this the higher
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import NamedTuple

from prodml_magics.errors import UsageError

__all__ = ["Metric", "is_metric", "metric_of", "same_column"]

_PREFIX = "metric:"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}")


class Metric(NamedTuple):
    """A column of the label frame, and what is known of its values."""

    column: str
    range: tuple[float, float] | None = None
    """The least and the largest value; none where it has no bounds."""
    lower: bool = False
    """Whether lower is better."""

    @property
    def width(self) -> float:
        """Of the range; 0 where there is none."""
        return self.range[1] - self.range[0] if self.range else 0.0

    @property
    def text(self) -> str:
        """As people write the guard.

        >>> Metric("revenue", (0.0, 100.0)).text
        'metric:revenue:0..100'
        """
        bounds = f":{self.range[0]:g}..{self.range[1]:g}" if self.range else ""
        return f"{_PREFIX}{self.column}{bounds}{':lower' if self.lower else ''}"


def is_metric(metric: str) -> bool:
    """Whether the guard is on a column beside the labels."""
    return metric.startswith(_PREFIX)


@lru_cache(maxsize=256)
def metric_of(text: str) -> Metric:
    """What ``metric:revenue:0..100`` means; `UsageError` where it cannot be meant.

    >>> metric_of("metric:refund:lower")
    Metric(column='refund', range=None, lower=True)
    """
    column, *rest = text.removeprefix(_PREFIX).split(":")
    found = Metric(column)
    if not _NAME.fullmatch(column):
        raise UsageError(f"{ascii(text)[:60]} names no column; write metric:NAME, such as metric:revenue:0..100")
    for word in rest:
        found = found._replace(lower=True) if word == "lower" else found._replace(range=_range(text, word))
    return found


def same_column(one: str, other: str) -> bool:
    """Whether two guards are on the same column."""
    return metric_of(one).column == metric_of(other).column


def _range(text: str, word: str) -> tuple[float, float]:
    low, dots, high = word.partition("..")
    try:
        ends = float(low), float(high)
    except ValueError:
        ends = math.nan, math.nan
    if not dots or not all(map(math.isfinite, ends)) or ends[0] >= ends[1]:
        raise UsageError(
            f"{ascii(word)[:40]} of {ascii(text)[:60]} is no range; write the least and the largest value, "
            f"such as {_PREFIX}{text.removeprefix(_PREFIX).split(':')[0]}:0..100, or lower where lower is better"
        )
    return ends
