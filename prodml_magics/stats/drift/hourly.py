"""An hour in a few numbers per column: the series that a watch for ever looks at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from prodml_magics.stats.drift.bucket import Bucket, Sketch
from prodml_magics.stats.drift.level_counts import LevelCounts
from prodml_magics.stats.drift.sketch import NumericSketch

__all__ = ["FEWEST_ROWS_AN_HOUR", "ROWS", "Hour", "hour_of", "merged_hours", "pack_hour", "said", "unpack_hour"]

Hour = dict[str, dict[str, float]]
"""Values by column and series."""

ROWS = "rows"
"""Beside the series of a column: how many rows they rest on."""


FEWEST_ROWS_AN_HOUR = 30
"""An hour of fewer present rows says too little of a column and is left out."""

_LEVELS = 8

_LABELS = {
    "mean": "the mean",
    "rank": "the place among the training values",
    "spread": "the spread among the training values",
    "missing": "the missing share",
    "unseen": "the share of unseen categories",
}


def said(series: str, levels: Sequence[str] = ()) -> str:
    """What a series is called in a sentence; `levels` are those of the reference, where it has some."""
    if series.startswith("= "):
        return f"the share of '{levels[int(series[2:])]}'"
    part, _, name = series.rpartition(" ")
    return f"{_LABELS[name]} of the {part} of the texts" if part else _LABELS[name]


def hour_of(bucket: Bucket) -> Hour:
    """Values by column and series, of columns with at least 30 present rows (the missing share: 30 rows).

    Of numbers: `mean` in reference sd from its mean, `rank` the mean of the shares of the reference's grid that lie below, `spread`
    the mean distance of that from a half, in [0, 0.5]. Of categories: the shares of the eight most frequent ones of the reference
    (``= 0`` to ``= 7``) and of `unseen` ones. Of texts: those of their parts. Of any: `missing`, and `rows`, which is no series.
    """
    return {name: found for name, sketch in bucket.items() if (found := dict(_values(sketch)))}


def _values(sketch: Sketch) -> Iterator[tuple[str, float]]:
    if sketch.rows < FEWEST_ROWS_AN_HOUR:
        return
    yield ROWS, float(sketch.rows)
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


def merged_hours(parts: Sequence[Hour]) -> Hour:
    """One hour of several arms: means weighted by rows."""
    if len(parts) == 1:
        return parts[0]
    merged: Hour = {}
    for name in {name for part in parts for name in part}:
        found = [part[name] for part in parts if name in part]
        weights: dict[str, float] = {}
        sums: dict[str, float] = {}
        for each in found:
            for series, value in each.items():
                weights[series] = weights.get(series, 0.0) + each[ROWS]
                sums[series] = sums.get(series, 0.0) + each[ROWS] * value
        merged[name] = {series: sums[series] / weights[series] for series in sums} | {ROWS: sum(each[ROWS] for each in found)}
    return merged


def pack_hour(hour: Hour) -> bytes:
    """As MessagePack; `unpack_hour` reads it."""
    return msgspec.msgpack.encode(hour)


def unpack_hour(data: bytes) -> Hour:
    """The values by column and series."""
    return msgspec.msgpack.decode(data, type=Hour)
