"""A candidate and the live version on the same rows: what a shadow and a replay are judged by. Counts that add up, chunk by chunk.

Without labels a candidate is held against what was answered: on how many pairs it differs, against a tolerance; how far the score moves,
against a margin; where, by e-BH over slices. With labels it is held against the truth, and that has the last word: a better candidate
differs as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from prodml_magics.stats.sequential.block_pairs import STAKES, log_gains, log_mean_of
from prodml_magics.stats.sequential.e_bh import e_benjamini_hochberg
from prodml_magics.stats.sequential.mixture import log_mean_exp
from prodml_magics.stats.sequential.tolerance import log_exceeds, log_within
from prodml_magics.wire.rollouts import PairedVerdict, Verdict

__all__ = ["PairedTally", "Pairs", "Tolerances", "counted", "judged"]

_FAILING = 0.005
"""Share of pairs on which a candidate may fail where the live version answered."""


class Tolerances(NamedTuple):
    """What a candidate is allowed."""

    differs: float = 0.02
    """Share of pairs on which it may answer otherwise."""
    score: float = 0.02
    """By how much the mean score may move, in units of the score's range."""
    accuracy: float = 0.02
    """By how much it may be less often right, where labels have come."""
    alpha: float = 0.05


class Pairs(NamedTuple):
    """A chunk of paired rows [rows]; those of failed candidates differ and have no score."""

    failed: NDArray[np.bool_]
    differs: NDArray[np.bool_]
    moved: NDArray[np.float64]
    """Candidate minus live score in units of its range, in [−1, 1]; NaN where there is none."""
    gained: NDArray[np.float64]
    """1 where only the candidate was right, −1 where only the live version was, 0 where both or none; NaN without a label."""
    slices: Mapping[str, NDArray[np.bool_]]

    def kept(self, rows: NDArray[np.bool_]) -> Pairs:
        """Those of the rows that are true."""
        slices = {name: mask[rows] for name, mask in self.slices.items()}
        return Pairs(self.failed[rows], self.differs[rows], self.moved[rows], self.gained[rows], slices)


class PairedTally(msgspec.Struct, frozen=True, kw_only=True):
    """What all pairs so far say."""

    pairs: int = 0
    failed: int = 0
    differed: int = 0
    scored: int = 0
    moved: float = 0.0
    """Sum of the differences of the score."""
    largest: float = 0.0
    """Of the differences of the score, whatever its sign."""
    gains: tuple[tuple[float, ...], ...] = ((0.0,) * len(STAKES),) * 4
    """Σ log gains: the mean lies above −margin, below margin, beyond margin, beyond −margin."""
    gained: tuple[int, int, int] = (0, 0, 0)
    """Labelled pairs by what the candidate gained: −1, 0, 1."""
    slices: dict[str, tuple[int, int]] = {}
    """Pairs, and pairs that differed, by slice."""


def counted(tally: PairedTally, pairs: Pairs, tolerances: Tolerances) -> PairedTally:
    """`tally` with `pairs` in it."""
    moved = pairs.moved[~np.isnan(pairs.moved)]
    margin = tolerances.score
    sides = ((moved, margin), (-moved, margin), (moved, -margin), (-moved, -margin))
    gains = tuple(tuple((np.array(old) + log_gains(*side, 1.0)).tolist()) for old, side in zip(tally.gains, sides, strict=True))
    below, same, above = (int((pairs.gained == value).sum()) for value in (-1, 0, 1))
    old = tally.gained
    slices = dict(tally.slices)
    for name, mask in pairs.slices.items():
        seen, differed = slices.get(name, (0, 0))
        slices[name] = (seen + int(mask.sum()), differed + int((mask & pairs.differs).sum()))
    return replace(
        tally,
        pairs=tally.pairs + len(pairs.differs),
        failed=tally.failed + int(pairs.failed.sum()),
        differed=tally.differed + int(pairs.differs.sum()),
        scored=tally.scored + len(moved),
        moved=tally.moved + float(moved.sum()),
        largest=max(tally.largest, float(np.abs(moved).max(initial=0.0))),
        gains=gains,
        gained=(old[0] + below, old[1] + same, old[2] + above),
        slices=slices,
    )


def judged(tally: PairedTally, tolerances: Tolerances) -> PairedVerdict:
    """The verdict on what was counted."""
    wall = math.log(1 / tolerances.alpha)
    by_labels = _by_labels(tally, tolerances)
    harm, culprits = _harm(tally, tolerances)
    fine = _within(tally, tolerances)
    if by_labels is not None:
        verdict, reason, worse, good = by_labels
    elif harm >= wall:
        verdict, reason, worse, good = "worse", _how(tally, tolerances), harm, fine
    else:
        verdict = "no worse" if fine >= wall else "undecided"
        reason, worse, good = _how(tally, tolerances), harm, fine
    return PairedVerdict(
        verdict=verdict,
        reason=reason,
        e_worse=math.exp(min(worse, 700.0)),
        e_no_worse=math.exp(min(good, 700.0)),
        tolerance=tolerances.differs,
        margin=tolerances.score,
        labelled=sum(tally.gained),
        accuracy_difference=_gain(tally),
        slices=culprits,
        pairs_needed=_needed(tally, tolerances) if verdict == "undecided" else None,
    )


def _gain(tally: PairedTally) -> float | None:
    labelled = sum(tally.gained)
    return (tally.gained[2] - tally.gained[0]) / labelled if labelled else None


def _by_labels(tally: PairedTally, tolerances: Tolerances) -> tuple[Verdict, str, float, float] | None:
    """What the labels say, none while they say nothing."""
    wall = math.log(1 / tolerances.alpha)
    good, worse, better = (_log_gained(tally, margin, sign) for margin, sign in ((tolerances.accuracy, 1), (0.0, -1), (0.0, 1)))
    if max(good, worse, better) < wall:
        return None
    verdict: Verdict = "worse" if worse >= wall else "better" if better >= wall else "no worse"
    reason = f"right on {100 * (_gain(tally) or 0.0):+.2f} % of {sum(tally.gained):,} rows with a label"
    return verdict, reason, worse, good


def _log_gained(tally: PairedTally, margin: float, sign: int) -> float:
    """Log e-value against a mean gain (times `sign`) of −`margin` or less, from counts alone."""
    each = np.array(
        [float(log_gains([sign * value], margin, 1.0)[stake]) for stake in range(len(STAKES)) for value in (-1, 0, 1)]
    )
    return float(log_mean_of(each.reshape(len(STAKES), 3) @ np.array(tally.gained, np.float64)))


def _within(tally: PairedTally, tolerances: Tolerances) -> float:
    """All of it has to be shown, so no error is spread over the parts."""
    shown = [
        float(log_within(tally.differed, tally.pairs, tolerances.differs)),
        float(log_within(tally.failed, tally.pairs, _FAILING)),
    ]
    if tally.scored:
        shown += [float(log_mean_of(tally.gains[side])) for side in (0, 1)]
    return min(shown)


def _harm(tally: PairedTally, tolerances: Tolerances) -> tuple[float, tuple[str, ...]]:
    """The mean of the e-values against each tolerance and, of one more share, of the slices; and the slices that e-BH names."""
    names = list(tally.slices)
    counts = np.array([tally.slices[name] for name in names], np.float64).reshape(-1, 2)
    each = log_exceeds(counts[:, 1], counts[:, 0], tolerances.differs)
    moved = log_mean_exp([log_mean_of(tally.gains[side]) for side in (2, 3)])
    parts = [
        float(log_exceeds(tally.differed, tally.pairs, tolerances.differs)),
        float(log_exceeds(tally.failed, tally.pairs, _FAILING)),
        *([float(moved)] if tally.scored else []),
        *([float(log_mean_exp(each))] if names else []),
    ]
    named = e_benjamini_hochberg(each, tolerances.alpha) if names else np.zeros(0, bool)
    order = np.argsort(-each, kind="stable") if names else np.zeros(0, np.int64)
    return float(log_mean_exp(parts)), tuple(names[index] for index in order if named[index])


def _how(tally: PairedTally, tolerances: Tolerances) -> str:
    if not tally.pairs:
        return "no pair yet"
    said = [
        f"differs on {100 * tally.differed / tally.pairs:.2f} % of {tally.pairs:,} rows, {100 * tolerances.differs:.2f} % are allowed"
    ]
    if tally.failed:
        said.append(f"failed on {tally.failed:,}")
    if tally.scored:
        said.append(f"moves the score by {tally.moved / tally.scored:+.4f}, {tolerances.score:g} is allowed")
    return ", ".join(said)


def _needed(tally: PairedTally, tolerances: Tolerances) -> int | None:
    """Pairs until all is within its tolerance at the shares so far; none where one of them is at its tolerance or beyond."""
    wanted = [_until_within(tally.differed, tally.pairs, tolerances.differs, tolerances.alpha)]
    wanted.append(_until_within(tally.failed, tally.pairs, _FAILING, tolerances.alpha))
    left = max(wanted) - tally.pairs
    return max(1, round(left)) if math.isfinite(left) else None


def _until_within(count: int, pairs: int, null: float, alpha: float) -> float:
    share = count / pairs if pairs else 0.0
    if share >= null:
        return math.inf
    gain = (share * math.log(share / null) if share else 0.0) + (1 - share) * math.log((1 - share) / (1 - null))
    return (math.log(1 / alpha) + 1) / gain
