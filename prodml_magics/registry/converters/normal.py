"""The quantile function of the normal distribution in double, by operators that ONNX has.

The rational approximations are those of ``ndtri`` in the Cephes library (S. L. Moshier, 1989), which scipy computes by: one in the
middle of the distribution and one in its tails, here out to probabilities of 1e-14. They are evaluated together, by one Horner scheme.
"""

from __future__ import annotations

import math

import numpy as np

from prodml_magics.registry.converters.emit import Emitter

__all__ = ["normal_quantiles"]

_MIDDLE = (
    (-59.9633501014107895267, 98.0010754185999661536, -56.6762857469070293439, 13.9312609387279679503, -1.23916583867381258016),
    (
        *(1.0, 1.95448858338141759834, 4.67627912898881538453, 86.3602421390890590575, -225.462687854119370527),
        *(200.260212380060660359, -82.0372256168333339912, 15.9056225126211695515, -1.18331621121330003142),
    ),
)
"""Numerator and denominator, highest power first, of (quantile / √(2π) − c) / c³ in c², c being the probability less a half."""
_TAIL = (
    (
        *(4.05544892305962419923, 31.5251094599893866154, 57.1628192246421288162, 44.0805073893200834700, 14.6849561928858024014),
        *(2.18663306850790267539, -0.140256079171354495875, -0.0350424626827848203418, -8.57456785154685413611e-4),
    ),
    (
        *(1.0, 15.7799883256466749731, 45.3907635128879210584, 41.3172038254672030440, 15.0425385692907503408),
        *(2.50464946208309415979, -0.142182922854787788574, -0.0380806407691578277194, -9.33259480895457427372e-4),
    ),
)
"""The same, of how far the quantile is from x − ln(x)/x, in 1/x, and over 1/x; x = √(−2 ln p) up to 8."""


def normal_quantiles(emitter: Emitter, probabilities: str) -> str:
    """``scipy.special.ndtri`` of a double [rows, columns] within 1e-14 and 1 − 1e-14; NaN stays NaN."""

    def node(operator: str, *inputs: str | float, version: int = 14) -> str:
        return emitter.node(
            operator, [each if isinstance(each, str) else emitter.constant(each) for each in inputs], version=version
        )

    upper = node("Greater", probabilities, 1 - math.exp(-2), version=13)
    lower = node("Where", upper, node("Sub", 1.0, probabilities), probabilities, version=9)
    from_half = node("Sub", lower, 0.5)
    squared = node("Mul", from_half, from_half)
    far = node("Sqrt", node("Mul", node("Log", lower, version=13), -2.0), version=13)
    inverse = node("Div", 1.0, far)
    middle, tail = _ratios(emitter, squared, inverse)
    inner = node("Add", from_half, node("Mul", from_half, node("Mul", squared, middle)))
    outer = node("Sub", node("Sub", far, node("Div", node("Log", far, version=13), far)), node("Mul", inverse, tail))
    signed = node("Where", upper, outer, node("Neg", outer, version=13), version=9)
    central = node("Greater", lower, math.exp(-2), version=13)
    return node("Where", central, node("Mul", inner, math.sqrt(2 * math.pi)), signed, version=9)


def _ratios(emitter: Emitter, middle: str, tail: str) -> tuple[str, str]:
    """Both rational functions, of the middle and of the tail, cell by cell: all four polynomials side by side on a last axis."""
    cells = [emitter.node("Unsqueeze", [each, emitter.constant(np.array([2], np.int64))], version=13) for each in (middle, tail)]
    powers = emitter.node("Concat", [cells[0], cells[0], cells[1], cells[1]], version=13, axis=2)
    degree = max(map(len, (*_MIDDLE, *_TAIL)))
    coefficients = np.array([(0.0,) * (degree - len(each)) + each for each in (*_MIDDLE, *_TAIL)])
    value = emitter.node("Mul", [powers, emitter.constant(coefficients[:, 0])], version=14)
    for place in range(1, degree):
        value = emitter.node("Add", [value, emitter.constant(coefficients[:, place])], version=14)
        value = emitter.node("Mul", [value, powers], version=14) if place < degree - 1 else value
    parts = [emitter.node("Gather", [value, emitter.constant(np.int64(place))], version=13, axis=2) for place in range(4)]
    over, under = parts[::2], parts[1::2]
    first, second = (emitter.node("Div", [top, bottom], version=14) for top, bottom in zip(over, under, strict=True))
    return first, second
