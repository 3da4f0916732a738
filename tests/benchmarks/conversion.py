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
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from registry.cases import CASES as OF_SKLEARN
from registry.cases import Case, fitted, load
from registry.cases_libraries import CASES as OF_LIBRARIES
from registry.conversions import drafted, proved

from prodml_magics.contract.encode import encode_columns
from prodml_magics.errors import GateRefused, Unsupported
from prodml_magics.inference.session import Session, open_session
from prodml_magics.registry.frames import columns_of
from prodml_magics.registry.layout import wire_inputs
from prodml_magics.registry.reference import Reference

TOLERANCE = 1e-5


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
    # ours replaces converters of skl2onnx in this process, so that what is alone comes first
    alone = {case.name: measured(lambda case=case: converted_alone(case), case, given.quick) for case in cases}
    ours = {case.name: measured(lambda case=case: converted_by_us(case), case, given.quick) for case in cases}
    show(cases, alone, ours)


def register_onnxmltools() -> None:
    """Teach skl2onnx the two libraries, as onnxmltools' documentation has it."""
    if not find_spec("onnxmltools"):
        print("onnxmltools is not installed: the libraries have no conversion beside ours")
        return
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )

    options = {"nocl": [True, False], "zipmap": [True, False, "columns"], "raw_scores": [True, False]}
    classified, regressed = calculate_linear_classifier_output_shapes, calculate_linear_regressor_output_shapes
    if find_spec("xgboost"):
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
        from xgboost import XGBClassifier, XGBRegressor

        update_registered_converter(XGBClassifier, "XGBoostXGBClassifier", classified, convert_xgboost, options=options)
        update_registered_converter(XGBRegressor, "XGBoostXGBRegressor", regressed, convert_xgboost)
    if find_spec("lightgbm"):
        from lightgbm import LGBMClassifier, LGBMRegressor
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

        update_registered_converter(LGBMClassifier, "LightGbmLGBMClassifier", classified, convert_lightgbm, options=options)
        update_registered_converter(LGBMRegressor, "LightGbmLGBMRegressor", regressed, convert_lightgbm)


class Converted(NamedTuple):
    """A loaded file, what it is fed, and what the model says to that; outputs in the order of the reference."""

    session: Session
    size: int
    feeds: list[dict[str, np.ndarray]]
    expected: list[dict[str, np.ndarray]]


def converted_alone(case: Case) -> Converted:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    model, draft, reference = drafted(case)
    text = any(column.kind == "categorical" for column in draft.columns)
    if text:
        types = [(c.name, (StringTensorType if c.kind == "categorical" else FloatTensorType)([None, 1])) for c in draft.columns]
    else:
        types = [("input", FloatTensorType([None, len(draft.columns)]))]
    options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") and not hasattr(model, "steps") else None
    if hasattr(model, "steps") and hasattr(model, "predict_proba"):
        options = {id(model.steps[-1][1]): {"zipmap": False}}
    opsets = {"": 18, "ai.onnx.ml": 3}
    file = convert_sklearn(model, initial_types=types, options=options, target_opset=opsets).SerializeToString()
    return asked(case, file, reference, draft, text)


def converted_by_us(case: Case) -> Converted:
    result, reference = proved(case)
    return asked(case, result.model, reference, result.contract, False)


def asked(case: Case, file: bytes, reference: Reference, contract: Any, apart: bool) -> Converted:
    """The training rows and the unseen ones."""
    contract = (
        contract
        if contract.inputs
        else type(contract)(
            task=contract.task,
            columns=contract.columns,
            inputs=wire_inputs(contract.columns, "FP32"),
            outputs=(),
            classes=contract.classes,
        )
    )
    data = load(case.data)
    tensors = [encode_columns(contract, columns_of(rows)) for rows in (data.train, data.fresh)]
    expected = [reference.answer(contract, each) for each in tensors]
    feeds = [by_column(contract, each) for each in tensors] if apart else tensors
    return Converted(open_session(file, device="cpu"), len(file), feeds, expected)


def by_column(contract: Any, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    numbers, texts = iter(tensors.get("numeric", np.zeros((0, 0))).T), iter(tensors.get("categorical", np.zeros((0, 0))).T)
    return {
        column.name: np.ascontiguousarray(next(texts if column.kind == "categorical" else numbers)[:, None])
        for column in contract.columns
    }


def measured(convert: Callable[[], Converted], case: Case, quick: bool) -> Made:
    fitted(case)  # once before the clock runs
    began = time.perf_counter()
    try:
        made = convert()
    except (GateRefused, Unsupported):
        return Made("refused")
    except Exception:  # each gap of a converter has an exception of its own
        return Made("fails")
    seconds = time.perf_counter() - began
    try:
        exact = all(same(made.session, feeds, expected) for feeds, expected in zip(made.feeds, made.expected, strict=True))
    except Exception:  # onnxruntime's, while it runs
        return Made("fails")
    speed = [np.nan, np.nan] if quick else [best(made, rows) for rows in (1, 128)]
    return Made("exact" if exact else "wrong", made.size, seconds, *speed)


def same(session: Session, feeds: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> bool:
    """Outputs are compared in order: what is alone has names of its own."""
    given = list(session.run(feeds).values())
    for found, (name, wanted) in zip(given, expected.items(), strict=False):
        if name == "label":
            if [str(value) for value in found.ravel().tolist()] != [str(value) for value in wanted.tolist()]:
                return False
            continue
        if found.size != wanted.size:
            return False
        wide, real = found.reshape(wanted.shape).astype(np.float64), wanted.astype(np.float64)
        scale = 1.0 if name == "probabilities" else max(float(np.abs(real).max()), float(real.std()), 1e-12)
        if not np.allclose(wide, real, rtol=0, atol=TOLERANCE * scale, equal_nan=True):
            return False
    return True


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
    print("| model | ours | alone | KB | KB alone | ms | ms alone | µs 1 row | alone | µs 128 rows | alone |")
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
