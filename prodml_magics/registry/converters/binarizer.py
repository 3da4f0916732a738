"""``Binarizer``: 1 above the threshold. skl2onnx gives 1 at the threshold as well, where scikit-learn gives 0."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from prodml_magics.registry.converters.emit import Emitter

__all__ = ["use_own_binarizer"]


@cache
def use_own_binarizer() -> None:
    """Put our converter in the place of skl2onnx's, for this process."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common._registration import get_shape_calculator
    from sklearn.preprocessing import Binarizer

    update_registered_converter(Binarizer, "ProdmlBinarizer", get_shape_calculator("SklearnBinarizer"), _convert)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    emitter = Emitter(scope, container)
    (rows,) = (str(value.full_name) for value in operator.inputs)
    double = type(operator.inputs[0].type).__name__ == "DoubleTensorType"
    threshold = np.float64(operator.raw_operator.threshold)
    held = emitter.constant(np.array(threshold if double else _rounded_down(threshold)))
    above = emitter.node("Greater", [rows, held], version=13)
    emitter.put("Cast", [above], operator.outputs[0].full_name, version=13, to=11 if double else 1)


def _rounded_down(threshold: np.float64) -> np.float32:
    """The largest float32 that is not above it: the same float32 values lie above either."""
    nearest = np.float32(threshold)
    return np.nextafter(nearest, np.float32(-np.inf)) if nearest > threshold else nearest
