"""Variants of a network's ONNX file that answer nearly the same in less time or space: rewritten, in INT8, in FP16.

Made in a process of its own: converters of precision crash on some valid graphs, and onnxruntime on what they make of others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec
import numpy as np

from prodml_magics.errors import GateRefused
from prodml_magics.inference.messages import Packed, pack
from prodml_magics.inference.process import Child, ChildFailed, ChildTimeout

__all__ = ["CALIBRATION_ROWS", "VARIANTS", "Made", "Make", "VariantName", "has_layers", "make_variant"]

VariantName = Literal["graph", "int8", "int8-static", "fp16"]
VARIANTS: tuple[VariantName, ...] = get_args(VariantName)
"""graph: operators fused and constants folded. int8: weights of MatMul and Gemm in eight bits, the rest measured as it comes.
int8-static: activations too, in ranges that calibration rows showed, convolutions included. fp16: all in half precision."""

CALIBRATION_ROWS = 256
_LAYERS = ("MatMul", "Gemm", "Conv")
_TIMEOUT_S = 120.0


class Make(msgspec.Struct, frozen=True):
    """What to make of which model; `rows` are for calibration."""

    variant: VariantName
    model: bytes
    rows: dict[str, Packed]


class Made(msgspec.Struct, frozen=True):
    """The file, or why there is none."""

    model: bytes = b""
    refused: str = ""


def has_layers(model: bytes) -> bool:
    """Whether a file has products or convolutions with constant weights: only those gain from other precisions."""
    import onnx

    graph = onnx.load_model_from_string(model).graph
    constants = {tensor.name for tensor in graph.initializer}
    return any(node.op_type in _LAYERS and constants.intersection(node.input) for node in graph.node)


def make_variant(variant: VariantName, model: bytes, rows: Mapping[str, np.ndarray]) -> bytes:
    """The file of a variant; raises `GateRefused` with the reason where it cannot be made."""
    message = msgspec.msgpack.encode(Make(variant, model, pack(rows)))
    with Child("prodml_magics.inference.variants_child") as child:
        try:
            made = msgspec.msgpack.decode(child.ask(message, _TIMEOUT_S), type=Made)
        except (ChildTimeout, ChildFailed) as error:
            raise GateRefused(f"{variant} cannot be made of this file: {error}; leave it out") from error
    if made.refused:
        raise GateRefused(f"{variant} cannot be made of this file: {made.refused}; leave it out")
    return made.model
