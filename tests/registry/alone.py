"""Conversions by skl2onnx alone, and by onnxmltools where it is installed: what one call of `convert_sklearn` makes of each row.

    python tests/registry/alone.py

prints what became of each row of the tables, as JSON. It must run in a process of its own: ours replaces converters of skl2onnx.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from registry.cases import CASES as OF_SKLEARN
from registry.cases import Case, load
from registry.cases_libraries import CASES as OF_LIBRARIES
from registry.conversions import drafted, opened

from prodml_magics.contract.encode import encode_columns
from prodml_magics.errors import GateRefused, Unsupported
from prodml_magics.inference.runner import Runner
from prodml_magics.inference.session import open_session
from prodml_magics.registry.frames import columns_of
from prodml_magics.registry.layout import wire_inputs
from prodml_magics.registry.reference import Reference

__all__ = ["Converted", "asked", "converted_alone", "outcome_of", "register_onnxmltools"]

TOLERANCE = 1e-5


def register_onnxmltools() -> None:
    """Teach skl2onnx the two libraries, as onnxmltools' documentation has it."""
    if not find_spec("onnxmltools"):
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

    session: Runner
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
    return Converted(opened(file, contract) if not apart else open_session(file, device="cpu"), len(file), feeds, expected)


def by_column(contract: Any, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    numbers, texts = iter(tensors.get("numeric", np.zeros((0, 0))).T), iter(tensors.get("categorical", np.zeros((0, 0))).T)
    return {
        column.name: np.ascontiguousarray(next(texts if column.kind == "categorical" else numbers)[:, None])
        for column in contract.columns
    }


def outcome_of(convert: Callable[[], Converted]) -> tuple[str, Converted | None]:
    """exact, refused, fails or wrong; and the file, where there is one that runs."""
    try:
        made = convert()
    except (GateRefused, Unsupported):
        return "refused", None
    except Exception:  # each gap of a converter has an exception of its own
        return "fails", None
    try:
        exact = all(same(made.session, feeds, expected) for feeds, expected in zip(made.feeds, made.expected, strict=True))
    except Exception:  # onnxruntime's, while it runs
        return "fails", None
    return "exact" if exact else "wrong", made


def same(session: Runner, feeds: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> bool:
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


def main() -> None:
    warnings.simplefilter("ignore")
    register_onnxmltools()
    cases = (*OF_SKLEARN, *OF_LIBRARIES)
    print(json.dumps({case.name: outcome_of(lambda case=case: converted_alone(case))[0] for case in cases}))


if __name__ == "__main__":
    main()
