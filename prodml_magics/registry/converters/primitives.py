"""How each primitive of JAX is written in ONNX; names and parameters as `jax.make_jaxpr` shows them.

A row of `ELEMENTWISE` may get broadcast operands; those of `PRIMITIVES` get whole ones. Semantics of the primitives:
https://docs.jax.dev/en/latest/jax.lax.html.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from prodml_magics.errors import Unsupported
from prodml_magics.registry.converters.primitives_arrays import ARRAYS
from prodml_magics.registry.converters.primitives_linear import LINEAR
from prodml_magics.registry.converters.traced import Traced

__all__ = ["ELEMENTWISE", "PRIMITIVES"]

Written = Callable[[Traced, Any, list[str]], str]


def _plain(operator: str) -> Written:
    return lambda graph, equation, operands: graph.node(operator, operands)


def _in_double(operator: str, around: Callable[[Traced, str], str]) -> Written:
    """`operator` on doubles, where float32 would cancel; `around` is what is done to the operand or the result."""

    def write(graph: Traced, equation: Any, operands: list[str]) -> str:
        wide = graph.cast(operands[0], np.float64)
        found = graph.node(operator, [around(graph, wide)]) if operator == "Log" else around(graph, graph.node(operator, [wide]))
        return graph.cast(found, equation.outvars[0].aval.dtype)

    return write


def _one(graph: Traced, dtype: Any) -> str:
    return graph.constant(np.array(1, dtype))


def _reciprocal_root(graph: Traced, equation: Any, operands: list[str]) -> str:
    return graph.node("Reciprocal", [graph.node("Sqrt", operands)])


def _square(graph: Traced, equation: Any, operands: list[str]) -> str:
    return graph.node("Mul", [operands[0], operands[0]])


def _complement_of_erf(graph: Traced, equation: Any, operands: list[str]) -> str:
    return graph.node("Sub", [_one(graph, equation.outvars[0].aval.dtype), graph.node("Erf", operands)])


def _two_to_the(graph: Traced, equation: Any, operands: list[str]) -> str:
    return graph.node("Pow", [graph.constant(np.array(2, equation.outvars[0].aval.dtype)), operands[0]])


def _whole_power(graph: Traced, equation: Any, operands: list[str]) -> str:
    return graph.node("Pow", [operands[0], graph.constant(np.array(equation.params["y"], equation.outvars[0].aval.dtype))])


def _remainder(graph: Traced, equation: Any, operands: list[str]) -> str:
    return graph.node("Mod", operands, fmod=1)


def _round(graph: Traced, equation: Any, operands: list[str]) -> str:
    if int(equation.params["rounding_method"]) != 1:
        raise Unsupported("the JAX primitive 'round' away from zero has no ONNX form here; use jnp.round")
    return graph.node("Round", operands)


def _not_equal(graph: Traced, equation: Any, operands: list[str]) -> str:
    return graph.node("Not", [graph.node("Equal", operands)])


def _is_finite(graph: Traced, equation: Any, operands: list[str]) -> str:
    either = graph.node("Or", [graph.node("IsNaN", operands), graph.node("IsInf", operands)])
    return graph.node("Not", [either])


def _logical(operator: str) -> Written:
    def write(graph: Traced, equation: Any, operands: list[str]) -> str:
        on_bits = equation.invars[0].aval.dtype != np.bool_
        return graph.node(f"Bitwise{operator}" if on_bits else operator, operands)

    return write


def _select(graph: Traced, equation: Any, operands: list[str]) -> str:
    which, *cases = operands
    if equation.invars[0].aval.dtype != np.bool_ or len(cases) != 2:
        raise Unsupported("the JAX primitive 'select_n' of more than two cases has no ONNX form here; use jnp.where")
    return graph.node("Where", [which, cases[1], cases[0]])


def _clamp(graph: Traced, equation: Any, operands: list[str]) -> str:
    low, value, high = operands
    return graph.node("Min", [graph.node("Max", [value, low]), high])


def _converted(graph: Traced, equation: Any, operands: list[str]) -> str:
    return graph.cast(operands[0], equation.params["new_dtype"])


ELEMENTWISE: Mapping[str, Written] = {
    "abs": _plain("Abs"),
    "acos": _plain("Acos"),
    "add": _plain("Add"),
    "add_any": _plain("Add"),
    "and": _logical("And"),
    "asin": _plain("Asin"),
    "atan": _plain("Atan"),
    "ceil": _plain("Ceil"),
    "clamp": _clamp,
    "convert_element_type": _converted,
    "copy": _plain("Identity"),
    "copy_p": _plain("Identity"),
    "cos": _plain("Cos"),
    "cosh": _plain("Cosh"),
    "div": _plain("Div"),
    "eq": _plain("Equal"),
    "erf": _plain("Erf"),
    "erfc": _complement_of_erf,
    "exp": _plain("Exp"),
    "exp2": _two_to_the,
    "expm1": _in_double("Exp", lambda graph, value: graph.node("Sub", [value, _one(graph, np.float64)])),
    "floor": _plain("Floor"),
    "ge": _plain("GreaterOrEqual"),
    "gt": _plain("Greater"),
    "integer_pow": _whole_power,
    "is_finite": _is_finite,
    "le": _plain("LessOrEqual"),
    "log": _plain("Log"),
    "log1p": _in_double("Log", lambda graph, value: graph.node("Add", [value, _one(graph, np.float64)])),
    "logistic": _plain("Sigmoid"),
    "lt": _plain("Less"),
    "max": _plain("Max"),
    "min": _plain("Min"),
    "mul": _plain("Mul"),
    "ne": _not_equal,
    "neg": _plain("Neg"),
    "not": _logical("Not"),
    "or": _logical("Or"),
    "pow": _plain("Pow"),
    "rem": _remainder,
    "round": _round,
    "rsqrt": _reciprocal_root,
    "select_n": _select,
    "sign": _plain("Sign"),
    "sin": _plain("Sin"),
    "sinh": _plain("Sinh"),
    "sqrt": _plain("Sqrt"),
    "square": _square,
    "stop_gradient": _plain("Identity"),
    "sub": _plain("Sub"),
    "tan": _plain("Tan"),
    "tanh": _plain("Tanh"),
    "xor": _logical("Xor"),
}
"""Operands of one shape, or scalars; the result has their shape."""

PRIMITIVES: Mapping[str, Callable[[Traced, Any, list[str]], str | list[str]]] = {**ARRAYS, **LINEAR}
