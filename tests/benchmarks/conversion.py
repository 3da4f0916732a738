"""Conversions beside those of skl2onnx and onnxmltools alone: how many are exact, refused and silently wrong; size, time, speed.

    python tests/benchmarks/conversion.py [--only TEXT] [--quick]

Every row of `tests/registry/cases.py` and `cases_libraries.py` (of the libraries that are installed) is fitted, converted both ways,
and asked the training rows and rows that it has not seen. A conversion is exact when labels agree and numbers within 1e-5, as in
the parity gate; its reference is the model on the very values that the file is sent. Alone means one call of `convert_sklearn` with
float inputs and without ZipMap, the converters of onnxmltools registered where it is installed.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from registry.alone import Converted, asked, converted_alone, outcome_of, register_onnxmltools
from registry.cases import CASES as OF_SKLEARN
from registry.cases import Case, fitted
from registry.cases_libraries import CASES as OF_LIBRARIES
from registry.conversions import proved


class Made(NamedTuple):
    """What came of one conversion; sizes in bytes, times in seconds, NaN where there is none."""

    outcome: str
    size: float = np.nan
    seconds: float = np.nan
    one: float = np.nan
    many: float = np.nan


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--only", default="")
    arguments.add_argument("--quick", action="store_true", help="no speed")
    given = arguments.parse_args()
    cases = [case for case in (*OF_SKLEARN, *OF_LIBRARIES) if given.only in case.name]
    warnings.simplefilter("ignore")
    register_onnxmltools()
    if not find_spec("onnxmltools"):
        print("onnxmltools is not installed: the libraries have no conversion beside ours")
    # ours replaces converters of skl2onnx in this process, so that what is alone comes first
    alone = {case.name: measured(lambda case=case: converted_alone(case), case, given.quick) for case in cases}
    ours = {case.name: measured(lambda case=case: converted_by_us(case), case, given.quick) for case in cases}
    show(cases, alone, ours)


def converted_by_us(case: Case) -> Converted:
    result, reference = proved(case)
    return asked(case, result.model, reference, result.contract, False)


def measured(convert: Callable[[], Converted], case: Case, quick: bool) -> Made:
    fitted(case)  # once before the clock runs
    taken: list[float] = []

    def timed() -> Converted:
        began = time.perf_counter()
        made = convert()
        taken.append(time.perf_counter() - began)
        return made

    outcome, made = outcome_of(timed)
    if made is None:
        return Made(outcome)
    speed = [np.nan, np.nan] if quick else [best(made, rows) for rows in (1, 128)]
    return Made(outcome, made.size, taken[0], *speed)


def best(made: Converted, rows: int) -> float:
    """Microseconds of one run, the best of 200."""
    repeat = np.arange(rows) % len(next(iter(made.feeds[1].values())))
    feeds = {name: np.ascontiguousarray(values[repeat]) for name, values in made.feeds[1].items()}
    taken = []
    for _ in range(200):
        began = time.perf_counter()
        made.session.run(feeds)
        taken.append(time.perf_counter() - began)
    return min(taken) * 1e6


def show(cases: list[Case], alone: dict[str, Made], ours: dict[str, Made]) -> None:
    print("| model | ours | alone | KB | KB alone | ms | ms alone | µs, 1 row | alone | µs, 128 rows | alone |")
    print("|---|---|---|" + "---:|" * 8)
    for case in cases:
        a, b = ours[case.name], alone[case.name]
        numbers = [a.size / 1e3, b.size / 1e3, a.seconds * 1e3, b.seconds * 1e3, a.one, b.one, a.many, b.many]
        shown = " | ".join("" if np.isnan(number) else f"{number:,.0f}" for number in numbers)
        print(f"| {case.name} | {a.outcome} | {b.outcome} | {shown} |")
    print()
    for title, made in (("ours", ours), ("skl2onnx and onnxmltools alone", alone)):
        counts = Counter(each.outcome for each in made.values())
        print(
            f"{title}, of {len(cases)}: " + ", ".join(f"{counts[kind]} {kind}" for kind in ("exact", "refused", "fails", "wrong"))
        )
    both = [case.name for case in cases if ours[case.name].outcome == alone[case.name].outcome == "exact"]
    for field, unit in (("size", "size"), ("seconds", "time to convert and prove"), ("one", "1 row"), ("many", "128 rows")):
        ratios = [getattr(ours[name], field) / getattr(alone[name], field) for name in both]
        print(f"median of ours / alone where both are exact ({len(both)}), {unit}: {np.nanmedian(ratios):.2f}" if ratios else "")


if __name__ == "__main__":
    main()
