"""Compare rows of now with a prepared reference, column by column, and say which have drifted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.clock import Clock, SystemClock
from prodml_magics.errors import InvalidInput
from prodml_magics.stats.drift.columns import Levels, Numbers, as_levels, as_numbers, named_columns
from prodml_magics.stats.drift.comparison import Comparison, aligned, compare_levels, compare_missing, compare_numbers
from prodml_magics.stats.drift.detection import Detection
from prodml_magics.stats.drift.device import Backend, Device, choose
from prodml_magics.stats.drift.kernels import Pair, compute_with_numpy
from prodml_magics.stats.drift.reference import NumericColumn, Reference
from prodml_magics.stats.drift.verdict import Evidence, Tolerances, Verdict, judge
from prodml_magics.stats.multiplicity import benjamini_hochberg

__all__ = ["detect"]

_DEFAULT_TOLERANCES = Tolerances()
_CLOCK = SystemClock()


class _Current(NamedTuple):
    found: Numbers | Levels
    missing: int


def detect(
    reference: Reference,
    x: Any,
    *,
    alpha: float = 0.05,
    tolerances: Tolerances = _DEFAULT_TOLERANCES,
    columns: Sequence[str] | None = None,
    device: Device = "auto",
    clock: Clock = _CLOCK,
) -> Detection:
    """Which columns of `x` differ from the reference by more than a harmless amount, beyond chance.

    A column has drifted when its effect exceeds its tolerance and its p-value, adjusted over all columns, is at most
    `alpha` (a false discovery rate). The effect is the KS distance of a numeric column, the total variation of a
    categorical one, or the change of the missing share when that decides. Where the rows are too few to tell, the column
    is undecided.

    `x` is an array [rows, columns of the reference], a mapping of name to 1-D array, or a frame; it may have other
    columns than the reference only when `columns` picks those to compare. Columns of a mapping may differ in length (a
    model's outputs are known for some of the rows only). Time: about one sort of `x`.

    Raises InvalidInput for columns that are absent, unknown or no longer numeric, Unavailable for a GPU that is not there.
    """
    started = clock.monotonic()
    if not 0 < alpha < 1:
        raise InvalidInput(f"alpha is {alpha}; give a share between 0 and 1, such as 0.05")
    given = _pick(reference, x, columns)
    current = {name: _read(reference, name, values) for name, values in given.items()}
    comparisons, where = _compare(reference, current, tolerances, alpha, device)
    missing = [_missing(reference, name, current[name], tolerances.missing, alpha) for name in current]
    verdicts = _verdicts([comparison.evidence for comparison in comparisons], missing, alpha)
    return _detection(reference, current, comparisons, verdicts, clock.monotonic() - started, where)


def _pick(reference: Reference, x: Any, columns: Sequence[str] | None) -> dict[str, NDArray[Any]]:
    wanted = list(dict.fromkeys(columns)) if columns else list(reference.names)
    for name in wanted:
        if name not in reference.columns:
            raise InvalidInput(f"the reference has no column '{name}'; {_nearest(name, reference.names)}")
    width = np.shape(x)[1] if isinstance(x, np.ndarray) and x.ndim == 2 else 0
    given = named_columns(x, wanted if columns and width == len(wanted) else reference.names, equal=False)
    for name in wanted:
        if name not in given:
            raise InvalidInput(f"column '{name}' of the reference is absent; {_nearest(name, given)}")
    extra = [name for name in given if name not in reference.columns]
    if extra and not columns:
        raise InvalidInput(f"the reference has no column '{extra[0]}'; leave it out, or name the columns to compare")
    return {name: given[name] for name in wanted}


def _nearest(name: str, names: Any) -> str:
    close = get_close_matches(name, list(names), n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(f"'{match}'" for match in close) + "?"
    shown = ", ".join(f"'{known}'" for known in list(names)[:8])
    return f"there are {shown or 'none'}"


def _read(reference: Reference, name: str, values: NDArray[Any]) -> _Current:
    column = reference.columns[name]
    if isinstance(column, NumericColumn):
        numbers = as_numbers(name, values)
        return _Current(numbers, numbers.rows - len(numbers.values))
    levels = as_levels(values, column.levels)
    return _Current(levels, levels.rows - int(levels.counts.sum()))


def _compare(
    reference: Reference, current: dict[str, _Current], tolerances: Tolerances, alpha: float, device: Device
) -> tuple[list[Comparison], str]:
    pairs = _pairs(reference, current)
    backend = choose(device, sum(len(pair.current) for pair in pairs.values()))
    numeric, where = _run(backend, pairs, tolerances.numeric, alpha)
    made = [
        numeric.get(name) or _other_comparison(reference, name, current[name], tolerances.categorical, alpha) for name in current
    ]
    return made, where


def _pairs(reference: Reference, current: dict[str, _Current]) -> dict[str, Pair]:
    """Numeric columns with a present value on each side."""
    pairs = {}
    for name, (found, _) in current.items():
        column = reference.columns[name]
        if isinstance(column, NumericColumn) and isinstance(found, Numbers) and len(column.values) and len(found.values):
            pairs[name] = aligned(column, found)
    return pairs


def _run(backend: Backend, pairs: dict[str, Pair], tolerance: float, alpha: float) -> tuple[dict[str, Comparison], str]:
    """Comparisons by name, and the device that made them."""
    accepted = [name for name, pair in pairs.items() if backend.accepts(pair)]
    rest = [name for name in pairs if name not in accepted]
    found = dict(zip(accepted, backend.kernel([pairs[name] for name in accepted]), strict=True))
    found |= dict(zip(rest, compute_with_numpy([pairs[name] for name in rest]), strict=True))
    where = f"{backend.name}; {len(rest)} columns beyond float32 on cpu" if rest else backend.name
    return {name: compare_numbers(pairs[name], found[name], tolerance, alpha) for name in pairs}, where


def _other_comparison(reference: Reference, name: str, current: _Current, tolerance: float, alpha: float) -> Comparison:
    column, found = reference.columns[name], current.found
    absent = _absence("the reference", column.rows, column.missing) or _absence("the current rows", found.rows, current.missing)
    if absent or isinstance(column, NumericColumn) or isinstance(found, Numbers):
        return Comparison(absent)
    return compare_levels(column, found, tolerance, alpha)


def _absence(side: str, rows: int, missing: int) -> str:
    if not rows:
        return f"{side.removeprefix('the ')}: no rows, nothing to compare"
    return f"every value of {side} is missing, nothing to compare" if missing == rows else ""


def _missing(reference: Reference, name: str, current: _Current, tolerance: float, alpha: float) -> Evidence | None:
    column = reference.columns[name]
    return compare_missing(column.missing, column.rows, current.missing, current.found.rows, tolerance, alpha)


def _verdicts(values: list[Evidence | str], missing: list[Evidence | None], alpha: float) -> list[Verdict]:
    """Judge every column, with p-values adjusted over all tests of values and of missing shares together."""
    tests = [evidence.p_value if isinstance(evidence, Evidence) else math.nan for evidence in (*values, *missing)]
    adjusted = benjamini_hochberg(tests)
    of_values, of_missing = adjusted[: len(values)].tolist(), adjusted[len(values) :].tolist()
    return [judge(*column, alpha) for column in zip(values, missing, zip(of_values, of_missing, strict=True), strict=True)]


def _detection(
    reference: Reference,
    current: dict[str, _Current],
    comparisons: list[Comparison],
    verdicts: list[Verdict],
    seconds: float,
    device: str,
) -> Detection:
    columns = [reference.columns[name] for name in current]
    rows_before, rows_now = [column.rows for column in columns], [column.found.rows for column in current.values()]
    missing_before, missing_now = [column.missing for column in columns], [column.missing for column in current.values()]
    judged = list(zip(current, verdicts, strict=True))
    return Detection(
        names=tuple(current),
        kind=tuple("numeric" if isinstance(column, NumericColumn) else "categorical" for column in columns),
        n_reference=np.array(rows_before, dtype=np.int64),
        n_current=np.array(rows_now, dtype=np.int64),
        missing_reference=_shares(missing_before, rows_before),
        missing_current=_shares(missing_now, rows_now),
        **{name: _floats(comparisons, name) for name in ("ks", "wasserstein", "psi", "js", "chi2", "tv")},
        **{name: _floats(verdicts, name) for name in ("p_value", "p_adjusted", "effect", "effect_low")},
        drifted=[name for name, verdict in judged if verdict.drifted],
        undecided=[name for name, verdict in judged if verdict.drifted is None],
        reason=tuple(verdict.reason for verdict in verdicts),
        seconds=seconds,
        device=device,
    )


def _floats(records: Sequence[Any], name: str) -> NDArray[np.float64]:
    return np.array([getattr(record, name) for record in records], dtype=np.float64)


def _shares(parts: list[int], rows: list[int]) -> NDArray[np.float64]:
    return np.array([part / whole if whole else math.nan for part, whole in zip(parts, rows, strict=True)], dtype=np.float64)
