"""Linear discriminant analysis: of two classes it is the logistic of one sum, where skl2onnx takes a softmax of two.

See ``LinearDiscriminantAnalysis.predict_proba`` in scikit-learn.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from prodml_magics.registry.converters.emit import OPTIONS, Emitter, declare_outputs
from prodml_magics.registry.converters.ensembles import Ensemble

__all__ = ["use_own_discriminant"]


@cache
def use_own_discriminant() -> None:
    """Put our converter in the place of skl2onnx's, for this process."""
    from skl2onnx import update_registered_converter
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    name = "ProdmlLinearDiscriminantAnalysis"
    update_registered_converter(LinearDiscriminantAnalysis, name, declare_outputs, _convert, options=OPTIONS)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    emitter, model = Emitter(scope, container), operator.raw_operator
    weights, start = np.asarray(model.coef_, np.float64).T, np.asarray(model.intercept_, np.float64)
    rows = emitter.node("Cast", [operator.inputs[0].full_name], to=11)
    products = emitter.node("MatMul", [rows, emitter.constant(weights)], version=13)
    sums = emitter.node("Add", [products, emitter.constant(start)], version=14)
    emitter.answer(operator, Ensemble([], [], len(start), "sigmoid" if len(start) == 1 else "softmax"), sums)
