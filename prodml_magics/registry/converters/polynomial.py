"""``PolynomialFeatures`` in double, each product in the order in which scikit-learn multiplies: skl2onnx has it in float32 alone."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from prodml_magics.registry.converters.emit import Emitter, declare_numbers

__all__ = ["use_own_polynomials"]

_FLOAT, _DOUBLE = 1, 11


@cache
def use_own_polynomials() -> None:
    """Put our converter in the place of skl2onnx's, for this process."""
    from skl2onnx import update_registered_converter
    from sklearn.preprocessing import PolynomialFeatures

    update_registered_converter(PolynomialFeatures, "ProdmlPolynomialFeatures", _shape, _convert)


def _shape(operator: Any) -> None:
    declare_numbers(operator, operator.raw_operator.n_output_features_)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    emitter = Emitter(scope, container)
    rows = emitter.node("Cast", [emitter.joined(operator)], to=_DOUBLE)
    powers = np.asarray(operator.raw_operator.powers_)
    factors = [np.repeat(np.arange(len(row)), row) for row in powers]  # of each output, ascending
    parts, degrees = [], powers.sum(axis=1)
    for degree in sorted(set(degrees.tolist())):  # outputs come by degree
        chosen = [factors[output] for output in np.flatnonzero(degrees == degree)]
        parts.append(_products(emitter, rows, np.array(chosen, np.int64)) if degree else _ones(emitter, rows))
    whole = parts[0] if len(parts) == 1 else emitter.node("Concat", parts, version=13, axis=1)
    double = type(operator.outputs[0].type).__name__ == "DoubleTensorType"
    emitter.put("Cast", [whole], operator.outputs[0].full_name, to=_DOUBLE if double else _FLOAT)


def _products(emitter: Emitter, rows: str, factors: np.ndarray) -> str:
    """For each row of `factors` [outputs, degree] the product of these columns, from the last to the first."""
    found = ""
    for places in factors.T[::-1]:
        column = emitter.node("Gather", [rows, emitter.constant(places)], version=13, axis=1)
        found = emitter.node("Mul", [found, column], version=14) if found else column
    return found


def _ones(emitter: Emitter, rows: str) -> str:
    first = emitter.node("Gather", [rows, emitter.constant(np.array([0]))], version=13, axis=1)
    return emitter.node("Cast", [emitter.node("Equal", [first, first])], to=_DOUBLE)
