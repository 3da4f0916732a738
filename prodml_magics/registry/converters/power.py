"""``PowerTransformer`` in double: skl2onnx has it in float32 alone, which loses digits that a tree behind it decides by.

With a = |x|, both branches of the transform of Yeo and Johnson (2000, Biometrika 87, 954-959) are expm1(c log1p(a)) / c, where c is
lambda at x >= 0, and 2 - lambda, with the sign turned, below; equals ``scipy.stats.yeojohnson``.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from prodml_magics.registry.converters.emit import Emitter, declare_numbers
from prodml_magics.registry.converters.functions import expm1, log1p

__all__ = ["use_own_powers"]

_FLOAT, _DOUBLE = 1, 11
_ZERO = {"yeo-johnson": np.spacing(1.0), "box-cox": 1e-19}
"""Below this an exponent counts as zero in SciPy, whose limit is a logarithm."""


@cache
def use_own_powers() -> None:
    """Put our converter in the place of skl2onnx's, for this process."""
    from skl2onnx import update_registered_converter
    from sklearn.preprocessing import PowerTransformer

    update_registered_converter(PowerTransformer, "ProdmlPowerTransformer", _shape, _convert)


def _shape(operator: Any) -> None:
    declare_numbers(operator, len(operator.raw_operator.lambdas_))


def _convert(scope: Any, operator: Any, container: Any) -> None:
    emitter, model = Emitter(scope, container), operator.raw_operator
    rows = emitter.node("Cast", [emitter.joined(operator)], to=_DOUBLE)
    lambdas = np.asarray(model.lambdas_, np.float64)[None, :]
    found = (_yeo_johnson if model.method == "yeo-johnson" else _box_cox)(emitter, rows, lambdas)
    if model.standardize:
        centred = emitter.node("Sub", [found, emitter.constant(model._scaler.mean_[None, :])], version=14)
        found = emitter.node("Div", [centred, emitter.constant(model._scaler.scale_[None, :])], version=14)
    double = type(operator.outputs[0].type).__name__ == "DoubleTensorType"
    emitter.put("Cast", [found], operator.outputs[0].full_name, to=_DOUBLE if double else _FLOAT)


def _yeo_johnson(emitter: Emitter, rows: str, lambdas: np.ndarray) -> str:
    above = emitter.node("GreaterOrEqual", [rows, emitter.constant(0.0)], version=16)
    logarithm = log1p(emitter, emitter.node("Abs", [rows]))
    sides = [_raised(emitter, logarithm, exponents, _ZERO["yeo-johnson"]) for exponents in (lambdas, 2 - lambdas)]
    return emitter.node("Where", [above, sides[0], emitter.node("Neg", [sides[1]])], version=9)


def _box_cox(emitter: Emitter, rows: str, lambdas: np.ndarray) -> str:
    return _raised(emitter, emitter.node("Log", [rows]), lambdas, _ZERO["box-cox"])


def _raised(emitter: Emitter, logarithm: str, exponents: np.ndarray, zero: float) -> str:
    """expm1(c log) / c for the exponents c [1, columns]; log where c is zero."""
    none = np.abs(exponents) < zero
    divisor = emitter.constant(np.where(none, 1.0, exponents))
    grown = expm1(emitter, emitter.node("Mul", [logarithm, divisor], version=14))
    raised = emitter.node("Div", [grown, divisor], version=14)
    return emitter.node("Where", [emitter.constant(none), logarithm, raised], version=9) if none.any() else raised
