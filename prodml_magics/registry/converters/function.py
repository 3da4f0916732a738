"""``FunctionTransformer`` of numpy's functions in double: skl2onnx has none but the identity."""

from __future__ import annotations

from functools import cache
from typing import Any

from prodml_magics.errors import Unsupported
from prodml_magics.registry.converters.emit import Emitter, declare_numbers
from prodml_magics.registry.converters.functions import FUNCTIONS, function_name

__all__ = ["use_own_functions"]

_FLOAT, _DOUBLE = 1, 11
_NAME = "SklearnFunctionTransformer"


@cache
def use_own_functions() -> None:
    """Put our converter in the place of skl2onnx's, for this process; that stays for the identity."""
    from skl2onnx.common._registration import (
        get_converter,
        get_shape_calculator,
        register_converter,
        register_shape_calculator,
    )

    shapes, identity = get_shape_calculator(_NAME), get_converter(_NAME)

    def shape(operator: Any) -> None:
        (shapes if operator.raw_operator.func is None else _shape)(operator)

    def convert(scope: Any, operator: Any, container: Any) -> None:
        (identity if operator.raw_operator.func is None else _convert)(scope, operator, container)

    register_shape_calculator(_NAME, shape, overwrite=True)
    register_converter(_NAME, convert, overwrite=True)


def _shape(operator: Any) -> None:
    model = operator.raw_operator
    name = function_name(model.func)
    if not name or model.kw_args:
        called = getattr(model.func, "__name__", type(model.func).__name__)
        what = f"{called} with kw_args" if name else called
        known = ", ".join(f"np.{each}" for each in FUNCTIONS)
        raise Unsupported(
            f"ONNX cannot express FunctionTransformer of {what}; take one of {known} without kw_args, or put its work into the data"
        )
    declare_numbers(operator, sum(value.type.shape[1] for value in operator.inputs))


def _convert(scope: Any, operator: Any, container: Any) -> None:
    emitter = Emitter(scope, container)
    rows = emitter.node("Cast", [emitter.joined(operator)], to=_DOUBLE)
    found = FUNCTIONS[function_name(operator.raw_operator.func)](emitter, rows)
    double = type(operator.outputs[0].type).__name__ == "DoubleTensorType"
    emitter.put("Cast", [found], operator.outputs[0].full_name, to=_DOUBLE if double else _FLOAT)
