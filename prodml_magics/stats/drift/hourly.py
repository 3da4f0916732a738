"""An hour in a few numbers per column: the series that a watch for ever looks at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from prodml_magics.stats.drift.bucket import Bucket, Sketch
from prodml_magics.stats.drift.level_counts import LevelCounts
from prodml_magics.stats.drift.sketch import NumericSketch

__all__ = ["FEWEST_ROWS_AN_HOUR", "LABELS", "hour_of", "pack_hour", "unpack_hour"]

FEWEST_ROWS_AN_HOUR = 30
"""An hour of fewer present rows says too little of a column and is left out."""

_LEVELS = 8

LABELS = {
    "mean": "mean",
    "rank": "mean rank among the reference",
    "spread": "spread among the reference",
    "missing": "missing share",
    "unseen": "share of unseen categories",
}
"""What a series is called in a sentence; those of levels are called by the level."""


def hour_of(bucket: Bucket) -> dict[str, dict[str, float]]:
    """Values by column and series, of columns with at least 30 present rows (the missing share: 30 rows).

    Of numbers: `mean` in reference sd from its mean, `rank` the mean of the shares of the reference's grid that lie below, `spread`
    the mean distance of that from a half, in [0, 0.5]. Of categories: the shares of the eight most frequent ones of the reference
    (``= 0`` to ``= 7``) and of `unseen` ones. Of texts: those of their parts. Of any: `missing`.
    """
    return {name: found for name, sketch in bucket.items() if (found := dict(_values(sketch)))}


def _values(sketch: Sketch) -> Iterator[tuple[str, float]]:
    if sketch.rows < FEWEST_ROWS_AN_HOUR:
        return
    yield "missing", sketch.missing / sketch.rows
    if sketch.rows - sketch.missing < FEWEST_ROWS_AN_HOUR:
        return
    if isinstance(sketch, NumericSketch):
        yield from _of_numbers(sketch)
    elif isinstance(sketch, LevelCounts):
        present = sketch.rows - sketch.missing
        yield from ((f"= {place}", float(count / present)) for place, count in enumerate(sketch.counts[:_LEVELS]))
        yield "unseen", (sum(sketch.new.values()) + sketch.further) / present
    else:
        for part, numbers in sketch.parts.items():
            yield from ((f"{part} {name}", value) for name, value in _of_numbers(numbers))


def _of_numbers(sketch: NumericSketch) -> Iterator[tuple[str, float]]:
    counts = sketch.counts
    if len(counts) < 2:
        return
    if sketch.finite and np.isfinite(sketch.moments[0]):
        yield "mean", float(sketch.moments[0] / sketch.finite)
    place = np.arange(len(counts)) / (len(counts) - 1)
    yield "rank", float(counts @ place / counts.sum())
    yield "spread", float(counts @ np.abs(place - 0.5) / counts.sum())


def pack_hour(hour: Mapping[str, Mapping[str, float]]) -> bytes:
    """As MessagePack; `unpack_hour` reads it."""
    return msgspec.msgpack.encode(hour)


def unpack_hour(data: bytes) -> dict[str, dict[str, float]]:
    """The values by column and series."""
    found: Any = msgspec.msgpack.decode(data, type=dict[str, dict[str, float]])
    return dict(found)
