"""numpy's functions of one number in double; log1p and expm1, which ONNX lacks, lose no digits near 0.

Both are had from log and exp after Kahan (see Higham 2002, Accuracy and Stability of Numerical Algorithms, 1.14), and are numpy's at
infinities, at -1 and below, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from prodml_magics.registry.converters.emit import Emitter

__all__ = ["FUNCTIONS", "ROUNDED", "expm1", "function_name", "log1p"]


def log1p(emitter: Emitter, value: str) -> str:
    """log(u) a / (u - 1) with u = 1 + a; a where u is 1, and log(u) where it is a."""
    one = emitter.constant(1.0)
    more = emitter.node("Add", [value, one], version=14)
    kept = emitter.node("Sub", [more, one], version=14)
    logarithm = emitter.node("Log", [more])
    scaled = emitter.node("Mul", [logarithm, emitter.node("Div", [value, kept], version=14)], version=14)
    near = emitter.node("Where", [emitter.node("Equal", [more, one]), value, scaled], version=9)
    return emitter.node("Where", [emitter.node("Equal", [more, value]), logarithm, near], version=9)


def expm1(emitter: Emitter, value: str) -> str:
    """(u - 1) z / log(u) with u = exp(z); z where u is 1, and u - 1 where z is so far from 0 that either hides the other."""
    one = emitter.constant(1.0)
    power = emitter.node("Exp", [value])
    less = emitter.node("Sub", [power, one], version=14)
    scaled = emitter.node("Mul", [less, emitter.node("Div", [value, emitter.node("Log", [power])], version=14)], version=14)
    near = emitter.node("Where", [emitter.node("Equal", [power, one]), value, scaled], version=9)
    below, above = emitter.node("Equal", [less, emitter.constant(-1.0)]), emitter.node("Equal", [less, power])
    return emitter.node("Where", [emitter.node("Or", [below, above], version=7), less, near], version=9)


def _operator(name: str) -> Callable[[Emitter, str], str]:
    return lambda emitter, value: emitter.node(name, [value])


def _logarithm(base: float) -> Callable[[Emitter, str], str]:
    natural = float(np.log(base))
    return lambda emitter, value: emitter.node("Div", [emitter.node("Log", [value]), emitter.constant(natural)], version=14)


def _square(emitter: Emitter, value: str) -> str:
    return emitter.node("Mul", [value, value], version=14)


FUNCTIONS: dict[str, Callable[[Emitter, str], str]] = {
    "log": _operator("Log"),
    "log1p": log1p,
    "log2": _logarithm(2.0),
    "log10": _logarithm(10.0),
    "exp": _operator("Exp"),
    "expm1": expm1,
    "sqrt": _operator("Sqrt"),
    "square": _square,
    "absolute": _operator("Abs"),
    "reciprocal": _operator("Reciprocal"),
    "negative": _operator("Neg"),
    "sign": _operator("Sign"),
}
"""By numpy's name, what adds the nodes of a function of doubles."""

ROUNDED = frozenset({"log", "log1p", "log2", "log10", "exp", "expm1"})
"""Functions whose last digits are others in every library; the rest are the same bit for bit."""


def function_name(function: Any) -> str:
    """numpy's name of `function`; empty where it is none of `FUNCTIONS`."""
    return next((name for name in FUNCTIONS if function is getattr(np, name)), "")
