"""Compare rows of now with a prepared reference, column by column, and say which have drifted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.clock import Clock, SystemClock
from prodml_magics.errors import InvalidInput
from prodml_magics.stats.drift.changed import (
    Changed,
    another_kind,
    check_common,
    kind_of,
    new_column,
    no_longer,
    no_number,
    vanished_column,
)
from prodml_magics.stats.drift.chosen import with_count_statistics, with_numeric_statistics
from prodml_magics.stats.drift.columns import (
    Levels,
    Numbers,
    Texts,
    Vectors,
    as_levels,
    as_numbers,
    as_rows,
    as_texts,
    as_vectors,
    check_shape,
    named_columns,
)
from prodml_magics.stats.drift.comparison import (
    Comparison,
    aligned,
    binned_distances,
    compare_levels,
    compare_missing,
    compare_numbers,
    compare_texts,
    compare_unseen,
    side_of,
)
from prodml_magics.stats.drift.dataset import judge_dataset
from prodml_magics.stats.drift.detection import Detection
from prodml_magics.stats.drift.device import Backend, Device, choose
from prodml_magics.stats.drift.embeddings import compare_vectors
from prodml_magics.stats.drift.joint import JOINT, JointFinding, find_jointly, find_nothing
from prodml_magics.stats.drift.joint.rows import joint_rows, spread
from prodml_magics.stats.drift.kernels import NumericStatistics, Pair, compute_with_numpy
from prodml_magics.stats.drift.limits import limits_of_missing, limits_of_values
from prodml_magics.stats.drift.reference import Column, EmbeddingColumn, LevelColumn, NumericColumn, Reference, TextColumn
from prodml_magics.stats.drift.sketch import NumericSketch, TextSketch
from prodml_magics.stats.drift.statistics import check_methods
from prodml_magics.stats.drift.text import text_parts
from prodml_magics.stats.drift.verdict import Evidence, Tolerances, Verdict, judge, sentence_of
from prodml_magics.stats.multiplicity import ADJUSTMENTS, Adjustment
from prodml_magics.stats.nearest import nearest

__all__ = ["Current", "Gathered", "absence", "detect", "gather", "judged", "shares_evidence"]

_CLOCK = SystemClock()


class Current(NamedTuple):
    """A column of now as it was read, and its missing rows."""

    found: Numbers | Levels | Texts | Vectors | NumericSketch | TextSketch
    missing: int


def detect(
    reference: Reference,
    x: Any,
    *,
    alpha: float = 0.05,
    tolerances: Tolerances | None = None,
    fdr: Adjustment = "bh",
    methods: Sequence[str] = (),
    columns: Sequence[str] | None = None,
    changed: Mapping[str, Changed] = {},
    device: Device = "auto",
    clock: Clock = _CLOCK,
) -> Detection:
    """Which columns of `x` differ from the reference by more than a harmless amount, beyond chance.

    A column has drifted when its effect exceeds its tolerance, the lower bound of the effect at level 1 − `alpha` does too
    (a minimum-effect test), and its p-value, adjusted over all columns by `fdr`, is at most `alpha` (a false discovery
    rate). The effect is the KS distance of a numeric column (of a text, that of the description of it that moved most), the
    total variation of a categorical one, the maximum mean discrepancy of vectors, or the change of the missing share or the
    share of unseen categories when that decides. Where the rows are too few to tell, the column is undecided.

    `tolerances`, where given, hold for all columns; else those that the reference was calibrated for (`prepare`), and
    `Tolerances()` for columns without. `fdr` is ``bh`` (Benjamini–Hochberg), ``by`` (Benjamini–Yekutieli: any dependence
    between columns) or ``ebh`` (e-BH, likewise).

    `methods` names statistics of `prodml_magics.stats.drift.statistics`: all of them are computed where they apply, and the
    first that applies and is defined decides a column in place of KS distance and total variation, with a bootstrapped lower bound.
    Its tolerance is the given one of numbers or categories, else what the reference was calibrated for, else its own default. Those of
    `prodml_magics.stats.drift.joint` look at all numeric columns at once; what they find is in ``.joint``, and the given tolerance of
    numbers is that of the one which is named first.

    `x` is an array [rows, columns of the reference], a mapping of name to 1-D array, or a frame. Columns that are on one side only
    (vanished or new), or that hold another kind of values than in the reference, have drifted without a test, and have no statistics;
    ``.changed`` names them, those among them that `changed` tells of because the caller could not read them. Columns of a mapping
    may differ in length (a model's outputs are known for some of the rows only). Time: about one sort of `x`.

    Raises InvalidInput for `columns` that neither side has and where no column is on both, Unavailable for a GPU that is not there.
    """
    started = clock.monotonic()
    if fdr not in ADJUSTMENTS:
        raise InvalidInput(f"unknown false discovery control '{fdr}'; choose {', '.join(ADJUSTMENTS)}")
    gathered = gather(reference, x, alpha=alpha, tolerances=tolerances, methods=methods, columns=columns, device=device)
    gathered = gathered._replace(changed={**gathered.changed, **changed})
    return judged(gathered, alpha, fdr)._replace(seconds=clock.monotonic() - started)


class Gathered(NamedTuple):
    """Everything that a verdict rests on, before it is judged."""

    reference: Reference
    current: dict[str, Current]
    comparisons: list[Comparison]
    others: list[list[Evidence]]
    """Per column, of its missing share and its unseen categories."""
    changed: Mapping[str, Changed] = {}
    """Columns that are not compared; in neither of the above."""
    joint: tuple[JointFinding, ...] = ()
    device: str = "cpu"


def gather(
    reference: Reference,
    x: Any,
    *,
    alpha: float = 0.05,
    tolerances: Tolerances | None = None,
    methods: Sequence[str] = (),
    columns: Sequence[str] | None = None,
    device: Device = "auto",
) -> Gathered:
    """The evidence of every column; arguments as for `detect`."""
    if not 0 < alpha < 1:
        raise InvalidInput(f"alpha is {alpha}; give a share between 0 and 1, such as 0.05")
    check_methods(tuple(methods), tuple(JOINT))
    of_columns, jointly = ([name for name in methods if (name in JOINT) == joint] for joint in (False, True))
    given, changed = _pick(reference, x, columns)
    current, others_now = _read_all(reference, given)
    changed |= others_now
    given = {name: given[name] for name in current}
    told = {methods[0]: tolerances.numeric} if tolerances is not None and methods and methods[0] in JOINT else {}
    comparisons, where = _compare(reference, current, tolerances, alpha, device, (*of_columns, *jointly), told)
    others = [shares_evidence(reference, name, current[name], tolerances, alpha) for name in current]
    found = _jointly(reference, given, jointly, alpha, where, told)
    return Gathered(reference, current, comparisons, others, changed, found, where)


def judged(gathered: Gathered, alpha: float, fdr: Adjustment) -> Detection:
    """The verdicts, under one false discovery rate over all tests of all columns; `alpha` is the one that was gathered for."""
    verdicts = _verdicts([comparison.evidence for comparison in gathered.comparisons], gathered.others, alpha, fdr)
    return _detection(gathered, verdicts)


def _jointly(
    reference: Reference,
    given: dict[str, NDArray[Any]],
    methods: list[str],
    alpha: float,
    where: str,
    tolerances: Mapping[str, float],
) -> tuple[JointFinding, ...]:
    """The statistics of all numeric columns at once that were asked for; a model's outputs are not among the columns."""
    if not methods:
        return ()
    kept, outputs = reference.rows, set(reference.extras.get("outputs") or ())
    names = [name for name in given if kept is not None and name in kept.names and name not in outputs]
    if kept is None or not names:
        return find_nothing(methods, "the reference kept no rows of numeric columns that vary")
    if len({len(given[name]) for name in names}) > 1:
        return find_nothing(methods, "the columns have unequal lengths, so that they make no rows")
    scales = dict(zip(kept.names, kept.scales, strict=True))
    # A permutation, or a fold, of rows that foretell each other finds drift in every window: as many are taken as tell the same.
    rows = max(reference.columns[name].rows for name in names)
    sparse = {name: spread(as_rows(given[name]), len(given[name]) / kept.inflation) for name in names}
    now = joint_rows(sparse, scales, names, seed=1)
    before = spread(kept.values[:, [kept.names.index(name) for name in names]], rows / kept.inflation)
    known = reference.joint if tuple(names) == kept.names else {}
    return tuple(find_jointly(methods, before, now.values, alpha, _putter(where), known, tolerances))


def _pick(reference: Reference, x: Any, columns: Sequence[str] | None) -> tuple[dict[str, NDArray[Any]], dict[str, Changed]]:
    """The columns of both sides, and those of one; of the wanted ones, where some are."""
    wanted = list(dict.fromkeys(columns or ()))
    width = np.shape(x)[1] if isinstance(x, np.ndarray) and x.ndim == 2 else 0
    given = named_columns(x, wanted if wanted and width == len(wanted) else reference.names, equal=False)
    both = dict.fromkeys([*reference.names, *given])
    for name in wanted:
        if name not in both:
            raise InvalidInput(f"neither side has a column '{name}'; {nearest(name, list(both))}")
    if not wanted:
        check_common(reference.columns, given)
    chosen = wanted or list(both)
    changed = {name: vanished_column(reference.columns[name]) for name in chosen if name not in given}
    changed |= {name: new_column(name, given[name]) for name in chosen if name not in reference.columns}
    return {name: given[name] for name in chosen if name not in changed}, changed


def _read_all(reference: Reference, given: Mapping[str, NDArray[Any]]) -> tuple[dict[str, Current], dict[str, Changed]]:
    """Every column as the reference has it, and those that are of another kind now."""
    current, changed = {}, {}
    for name, values in given.items():
        column = reference.columns[name]
        reason = another_kind(column, values)
        if not reason:
            try:
                current[name] = _read(reference, name, values)
                continue
            except InvalidInput as error:
                numeric = isinstance(column, NumericColumn)
                reason = no_number(column, values) if numeric else str(error).removeprefix(f"column '{name}' ")
        changed[name] = no_longer(column, values, reason)
    return current, changed


def _read(reference: Reference, name: str, values: NDArray[Any]) -> Current:
    column = reference.columns[name]
    if isinstance(column, EmbeddingColumn):
        vectors = as_vectors(name, values, column.values.shape[1] if len(column.values) else None)
        return Current(vectors, vectors.rows - len(vectors.values))
    check_shape(name, values)
    if isinstance(column, NumericColumn):
        numbers = as_numbers(name, values if len(values) else np.zeros(0))
        return Current(numbers, numbers.rows - len(numbers.values))
    if isinstance(column, TextColumn):
        texts = as_texts(values)
        return Current(Texts(text_parts(texts), len(values)), len(values) - len(texts))
    levels = as_levels(values, column.levels)
    return Current(levels, levels.rows - int(levels.counts.sum()))


_Key = tuple[str, str]
"""A column, and the part of it: empty, or the name of a part of a text."""


def _compare(
    reference: Reference,
    current: dict[str, Current],
    tolerances: Tolerances | None,
    alpha: float,
    device: Device,
    methods: tuple[str, ...],
    told: Mapping[str, float],
) -> tuple[list[Comparison], str]:
    tasks = _tasks(reference, current)
    backend = choose(device, sum(len(pair.current) for pair, _ in tasks.values()))
    limits = {key: limits_of_values(column, tolerances, alpha) for key, (_, column) in tasks.items()}
    found, where = _run(backend, {key: pair for key, (pair, _) in tasks.items()})
    sides = {key: side_of(column, pair) for key, (pair, column) in tasks.items()}
    distances = dict(zip(sides, binned_distances(list(sides.values()), [found[key] for key in sides]), strict=True))
    made = {
        key: compare_numbers(sides[key], len(pair.current), found[key], limits[key], distances[key])
        for key, (pair, _) in tasks.items()
    }
    of_columns = tuple(name for name in methods if name not in JOINT)
    if of_columns:
        given = None if tolerances is None else tolerances.numeric
        for key, (pair, column) in tasks.items():
            made[key] = with_numeric_statistics(made[key], pair, column, of_columns, limits[key], given)
    compared = {name: _compare_vectors(reference, name, current[name], methods, alpha, where, told) for name in current}
    return [
        compared[name] or _comparison(reference, name, current[name], made, tolerances, alpha, of_columns) for name in current
    ], where


def _compare_vectors(
    reference: Reference,
    name: str,
    current: Current,
    methods: tuple[str, ...],
    alpha: float,
    where: str,
    told: Mapping[str, float],
) -> Comparison | None:
    """None for a column of another kind."""
    column, found = reference.columns[name], current.found
    if not isinstance(column, EmbeddingColumn) or not isinstance(found, Vectors):
        return None
    absent = absence("the reference", column.rows, column.missing) or absence("the current rows", found.rows, current.missing)
    if absent or not len(column.values):
        return Comparison(absent or "the reference keeps no vectors of a masked column")
    return compare_vectors(column, found, methods, alpha, _putter(where), tolerances=told)


def _putter(where: str) -> Callable[[Any], Any]:
    """What moves rows to the device that the columns are computed on."""
    if not where.startswith("gpu"):
        return np.asarray
    import jax.numpy as jnp

    return jnp.asarray


def _tasks(reference: Reference, current: dict[str, Current]) -> dict[_Key, tuple[Pair, NumericColumn]]:
    """Numeric columns, and parts of texts, with a present value on each side."""
    tasks = {}
    for name, (found, _) in current.items():
        column = reference.columns[name]
        if isinstance(column, NumericColumn) and isinstance(found, Numbers) and len(column.values) and len(found.values):
            tasks[name, ""] = aligned(column, found), column
        elif isinstance(column, TextColumn) and isinstance(found, Texts) and len(found.parts["length"]):
            for part, values in found.parts.items():
                if part in column.parts:
                    tasks[name, part] = aligned(column.parts[part], Numbers(values, len(values))), column.parts[part]
    return tasks


def _run(backend: Backend, pairs: dict[_Key, Pair]) -> tuple[dict[_Key, NumericStatistics], str]:
    """Statistics by column, and the device that found them."""
    accepted = [name for name, pair in pairs.items() if backend.accepts(pair)]
    rest = [name for name in pairs if name not in accepted]
    found = dict(zip(accepted, backend.kernel([pairs[name] for name in accepted]), strict=True))
    found |= dict(zip(rest, compute_with_numpy([pairs[name] for name in rest]), strict=True))
    return found, f"{backend.name}; {len(rest)} columns beyond float32 on cpu" if rest else backend.name


def _comparison(
    reference: Reference,
    name: str,
    current: Current,
    made: dict[_Key, Comparison],
    tolerances: Tolerances | None,
    alpha: float,
    methods: tuple[str, ...],
) -> Comparison:
    column, found = reference.columns[name], current.found
    if (name, "") in made:
        return made[name, ""]
    if parts := {part: comparison for (owner, part), comparison in made.items() if owner == name}:
        return compare_texts(parts)
    absent = absence("the reference", column.rows, column.missing) or absence("the current rows", found.rows, current.missing)
    if absent or not (isinstance(column, LevelColumn) and isinstance(found, Levels)):
        return Comparison(absent or "the reference kept no values of so few rows of a masked column")
    limits = limits_of_values(column, tolerances, alpha)
    compared = compare_levels(column, found, limits)
    given = None if tolerances is None else tolerances.categorical
    return with_count_statistics(compared, column, found, methods, limits, given) if methods else compared


def absence(side: str, rows: int, missing: int) -> str:
    if not rows:
        return f"{side.removeprefix('the ')}: no rows, nothing to compare"
    return f"every value of {side} is missing, nothing to compare" if missing == rows else ""


def shares_evidence(
    reference: Reference, name: str, current: Current, tolerances: Tolerances | None, alpha: float
) -> list[Evidence]:
    """Evidence of the missing share and of unseen categories, where there are any."""
    column, found = reference.columns[name], current.found
    limits = limits_of_missing(column, tolerances, alpha)
    evidence = [compare_missing(column.missing, column.rows, current.missing, found.rows, limits)]
    if isinstance(column, LevelColumn) and isinstance(found, Levels):
        allowed = (tolerances or Tolerances()).unseen
        unseen = limits_of_values(column, None, alpha)._replace(tolerance=allowed, calibrated=False)
        evidence.append(compare_unseen(column, found, unseen))
    return [each for each in evidence if each is not None]


def _verdicts(values: list[Evidence | str], others: list[list[Evidence]], alpha: float, fdr: Adjustment) -> list[Verdict]:
    """Judge every column, with p-values adjusted over all tests of all columns together."""
    tests = [[evidence.p_value if isinstance(evidence, Evidence) else math.nan] for evidence in values]
    for of_column, more in zip(tests, others, strict=True):
        of_column += [evidence.p_value for evidence in more]
    adjusted = iter(ADJUSTMENTS[fdr]([p for of_column in tests for p in of_column]).tolist())
    shared = [[next(adjusted) for _ in of_column] for of_column in tests]
    return [judge(*column, alpha) for column in zip(values, others, shared, strict=True)]


class _Row(NamedTuple):
    """What is told of one column."""

    kind: str
    rows: tuple[int, int]
    missing: tuple[int, int]
    comparison: Comparison
    verdict: Verdict


def _rows(gathered: Gathered, verdicts: list[Verdict]) -> dict[str, _Row]:
    """By column in the order of the reference, new ones last."""
    reference, current, comparisons = gathered[:3]
    rows = {
        name: _Row(*_sizes(reference.columns[name], current[name]), comparison, verdict)
        for name, comparison, verdict in zip(current, comparisons, verdicts, strict=True)
    }
    for name, found in gathered.changed.items():
        verdict = Verdict(found.drifted, found.reason)
        rows[name] = _Row(found.kind, found.rows, found.missing, Comparison(found.reason), verdict)
    order = [*(name for name in reference.names if name in rows), *(name for name in rows if name not in reference.columns)]
    return {name: rows[name] for name in order} if gathered.changed else rows


def _sizes(column: Column, current: Current) -> tuple[str, tuple[int, int], tuple[int, int]]:
    return kind_of(column), (column.rows, current.found.rows), (column.missing, current.missing)


def _detection(gathered: Gathered, verdicts: list[Verdict]) -> Detection:
    reference, rows = gathered.reference, _rows(gathered, verdicts)
    comparisons, verdicts = [row.comparison for row in rows.values()], [row.verdict for row in rows.values()]
    before, now = ([(row.missing[side], row.rows[side]) for row in rows.values()] for side in (0, 1))
    drifted = [name for name, row in rows.items() if row.verdict.drifted]
    undecided = [name for name, row in rows.items() if row.verdict.drifted is None]
    return Detection(
        names=tuple(rows),
        kind=tuple(row.kind for row in rows.values()),
        n_reference=np.array([whole for _, whole in before], dtype=np.int64),
        n_current=np.array([whole for _, whole in now], dtype=np.int64),
        missing_reference=_shares(before),
        missing_current=_shares(now),
        **{name: _floats(comparisons, name) for name in ("ks", "wasserstein", "psi", "js", "chi2", "tv")},
        **{name: _floats(verdicts, name) for name in ("p_value", "p_adjusted", "effect", "effect_low", "tolerance")},
        calibrated=tuple(verdict.calibrated for verdict in verdicts),
        drifted=drifted,
        undecided=undecided,
        changed=tuple(name for name in rows if name in gathered.changed),
        reason=tuple(verdict.reason for verdict in verdicts),
        sentence=tuple(_sentence(reference, name, row.verdict) for name, row in rows.items()),
        extra=_extra(comparisons),
        joint=gathered.joint,
        seconds=0.0,
        device=gathered.device,
        dataset=judge_dataset(tuple(rows), drifted, undecided, reference.extras.get("importance") or {}),
    )


def _sentence(reference: Reference, name: str, verdict: Verdict) -> str:
    """Of a text the reason names the part that moved."""
    return sentence_of(name, verdict, briefly=not isinstance(reference.columns.get(name), TextColumn))


def _extra(comparisons: list[Comparison]) -> dict[str, NDArray[np.float64]]:
    """The statistics that were asked for by name, NaN where one does not apply."""
    names = dict.fromkeys(name for comparison in comparisons for name in comparison.extra)
    return {
        name: np.array([comparison.extra.get(name, math.nan) for comparison in comparisons], dtype=np.float64) for name in names
    }


def _floats(records: Sequence[Any], name: str) -> NDArray[np.float64]:
    return np.array([getattr(record, name) for record in records], dtype=np.float64)


def _shares(parts: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
    return np.array([part / whole if whole else math.nan for part, whole in parts], dtype=np.float64)
