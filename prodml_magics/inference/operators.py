"""Which operators a model may use, and how each kind that can grow its input is held."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

__all__ = ["CONTROL_FLOW", "DOMAINS", "SIZED", "allowed_operators"]

DOMAINS = ("", "ai.onnx.ml", "com.microsoft")
"""``""`` is ONNX itself, also written ``ai.onnx``."""

CONTROL_FLOW = frozenset({"If", "Loop", "Scan", "SequenceMap"})
"""They hold graphs of their own and may never end: refused unless our converter wrote them."""

SIZED: Mapping[str, tuple[int, ...]] = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "OneHot": (1,),
    "Pad": (1,),
    "Range": (0, 1, 2),
    "Resize": (2, 3),
    "Tile": (1,),
    "Upsample": (1,),
}
"""Operators whose output may be far larger than their input, with the places of the operands that set the size."""

_MICROSOFT = frozenset(
    {
        "Attention",
        "BiasGelu",
        "CDist",
        "DequantizeLinear",
        "DynamicQuantizeMatMul",
        "FastGelu",
        "FusedConv",
        "FusedGemm",
        "FusedMatMul",
        "Gelu",
        "LayerNormalization",
        "MatMulIntegerToFloat",
        "QAttention",
        "QGemm",
        "QLinearAdd",
        "QLinearAveragePool",
        "QLinearConcat",
        "QLinearGlobalAveragePool",
        "QLinearLeakyRelu",
        "QLinearMul",
        "QLinearSigmoid",
        "QLinearSoftmax",
        "QuantizeLinear",
        "QuickGelu",
        "SkipLayerNormalization",
    }
)


@cache
def allowed_operators(domain: str) -> frozenset[str]:
    """Names of the operators that a file may use in `domain`: what ONNX defines, and chosen ones of onnxruntime.

    Control flow is among them; the gate holds it separately. Operators that draw random numbers are not: a server must
    give the same answer twice.
    """
    if domain == "com.microsoft":
        return _MICROSOFT
    import onnx

    names = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == domain}
    return frozenset(name for name in names if not name.startswith("Random") and name not in ("Bernoulli", "Multinomial"))
