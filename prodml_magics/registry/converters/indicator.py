"""Missing numbers replaced and marked: ``SimpleImputer``, which onnxruntime has in float32 alone, its ``add_indicator=True``, whose
columns skl2onnx drops, and ``MissingIndicator``, which it does not know.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from prodml_magics.errors import Unsupported
from prodml_magics.registry.converters.emit import Emitter

__all__ = ["use_own_indicators"]


@cache
def use_own_indicators() -> None:
    """Put our converters in the place of skl2onnx's, for this process."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common._registration import get_converter, get_shape_calculator
    from sklearn.impute import MissingIndicator, SimpleImputer

    plain, plain_shape = get_converter("SklearnSimpleImputer"), get_shape_calculator("SklearnSimpleImputer")

    def convert(scope: Any, operator: Any, container: Any) -> None:
        if _numbers(operator):
            _imputed(scope, operator, container)
        else:
            plain(scope, operator, container)

    def shape(operator: Any) -> None:
        model = operator.raw_operator
        marked = 0 if model.indicator_ is None else len(model.indicator_.features_)
        if marked or _numbers(operator):
            _declare(operator, len(_kept(model)) + marked)
        else:
            plain_shape(operator)

    update_registered_converter(SimpleImputer, "ProdmlSimpleImputer", shape, convert)
    update_registered_converter(
        MissingIndicator,
        "ProdmlMissingIndicator",
        lambda operator: _declare(operator, len(operator.raw_operator.features_)),
        _missing_only,
    )


def _numbers(operator: Any) -> bool:
    return {type(value.type).__name__ for value in operator.inputs} <= {"FloatTensorType", "DoubleTensorType"}


def _declare(operator: Any, width: int) -> None:
    """An output of numbers as wide as those that come in."""
    if not _numbers(operator):
        name = type(operator.raw_operator).__name__
        raise Unsupported(f"{name} marks missing values of columns that are no numbers; mark them in the data")
    operator.outputs[0].type = type(operator.inputs[0].type)([None, width])


def _kept(imputer: Any) -> np.ndarray:
    """The columns that the imputer gives: one that was empty at fit is left out, unless it is kept on purpose."""
    statistics = imputer.statistics_
    if imputer.keep_empty_features:
        return np.arange(len(statistics))
    return np.flatnonzero(~np.isnan(statistics.astype(np.float64)))


def _imputed(scope: Any, operator: Any, container: Any) -> None:
    emitter, model = Emitter(scope, container), operator.raw_operator
    rows, kept = emitter.joined(operator), _kept(model)
    missing = _missing(emitter, operator, rows, model.missing_values)
    dtype = _dtype(operator)
    fill = emitter.constant(model.statistics_.astype(dtype)[None, :])
    whole = emitter.node("Where", [missing, fill, rows], version=9)
    every = np.array_equal(kept, np.arange(len(model.statistics_)))
    values = whole if every else emitter.node("Gather", [whole, emitter.constant(kept)], version=13, axis=1)
    if model.indicator_ is None:
        emitter.put("Identity", [values], operator.outputs[0].full_name, version=16)
        return
    marks = _marks(emitter, operator, missing, model.indicator_.features_)
    emitter.put("Concat", [values, marks], operator.outputs[0].full_name, version=13, axis=1)


def _missing_only(scope: Any, operator: Any, container: Any) -> None:
    emitter, model = Emitter(scope, container), operator.raw_operator
    missing = _missing(emitter, operator, emitter.joined(operator), model.missing_values)
    emitter.put("Identity", [_marks(emitter, operator, missing, model.features_)], operator.outputs[0].full_name, version=16)


def _missing(emitter: Emitter, operator: Any, rows: str, stands: Any) -> str:
    if isinstance(stands, float) and np.isnan(stands):
        return emitter.node("IsNaN", [rows])
    return emitter.node("Equal", [rows, emitter.constant(np.array(stands, _dtype(operator)))])


def _marks(emitter: Emitter, operator: Any, missing: str, features: np.ndarray) -> str:
    chosen = emitter.node("Gather", [missing, emitter.constant(np.asarray(features, np.int64))], version=13, axis=1)
    return emitter.node("Cast", [chosen], to=11 if _dtype(operator) == np.float64 else 1)


def _dtype(operator: Any) -> type[np.floating[Any]]:
    return np.float64 if type(operator.inputs[0].type).__name__ == "DoubleTensorType" else np.float32
