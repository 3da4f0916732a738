"""``TransformedTargetRegressor``: its regressor, whatever converts, and in double what turns predictions back into the target."""

from __future__ import annotations

from functools import cache
from typing import Any

from prodml_magics.errors import Unsupported
from prodml_magics.registry.converters.emit import Emitter, declare_numbers
from prodml_magics.registry.converters.functions import FUNCTIONS, function_name

__all__ = ["use_own_targets"]

_FLOAT, _DOUBLE = 1, 11


@cache
def use_own_targets() -> None:
    """Teach skl2onnx, which has none, for this process."""
    from skl2onnx import update_registered_converter
    from sklearn.compose import TransformedTargetRegressor

    update_registered_converter(TransformedTargetRegressor, "ProdmlTransformedTargetRegressor", _shape, _convert)


def _shape(operator: Any) -> None:
    transformer = operator.raw_operator.transformer_
    _check(transformer)
    declare_numbers(operator, transformer.n_features_in_)


def _check(transformer: Any) -> None:
    """Raise `Unsupported` for what has no inverse here; what came before it, in the fit, is of no account."""
    kind = type(transformer).__name__
    if kind in ("StandardScaler", "MinMaxScaler"):
        return
    what = f"transformer {kind}"
    if kind == "FunctionTransformer":
        inverse = transformer.inverse_func
        if (inverse is None or function_name(inverse)) and not transformer.inv_kw_args:
            return
        what = f"inverse_func {getattr(inverse, '__name__', type(inverse).__name__)}"
        what = f"{what} with inv_kw_args" if transformer.inv_kw_args else what
    known = ", ".join(f"np.{each}" for each in FUNCTIONS)
    raise Unsupported(
        f"ONNX cannot express TransformedTargetRegressor with {what}; take one of {known} as inverse_func, or StandardScaler or "
        "MinMaxScaler as transformer"
    )


def _convert(scope: Any, operator: Any, container: Any) -> None:
    from skl2onnx._parse import _parse_sklearn

    emitter, model = Emitter(scope, container), operator.raw_operator
    (answer,) = _parse_sklearn(scope, model.regressor_, operator.inputs)
    double = emitter.node("Cast", [answer.full_name], to=_DOUBLE)
    rows = emitter.node("Reshape", [double, emitter.constant([-1, model.transformer_.n_features_in_])], version=14)
    found = _inverse(emitter, model.transformer_, rows)
    wide = type(operator.outputs[0].type).__name__ == "DoubleTensorType"
    emitter.put("Cast", [found], operator.outputs[0].full_name, to=_DOUBLE if wide else _FLOAT)


def _inverse(emitter: Emitter, transformer: Any, rows: str) -> str:
    """What ``transformer.inverse_transform`` makes of `rows`, step by step in its order."""
    kind = type(transformer).__name__
    if kind == "FunctionTransformer":
        name = function_name(transformer.inverse_func) if transformer.inverse_func is not None else ""
        return FUNCTIONS[name](emitter, rows) if name else rows
    if kind == "MinMaxScaler":
        moved = emitter.node("Sub", [rows, emitter.constant(transformer.min_[None, :])], version=14)
        return emitter.node("Div", [moved, emitter.constant(transformer.scale_[None, :])], version=14)
    if transformer.with_std:
        rows = emitter.node("Mul", [rows, emitter.constant(transformer.scale_[None, :])], version=14)
    if transformer.with_mean:
        rows = emitter.node("Add", [rows, emitter.constant(transformer.mean_[None, :])], version=14)
    return rows
