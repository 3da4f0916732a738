"""The process in which a variant is made: ``python -m prodml_magics.inference.variants_child``."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from prodml_magics.errors import first_line
from prodml_magics.inference.messages import unpack
from prodml_magics.inference.process import limit_memory
from prodml_magics.inference.smoke import MEMORY_BYTES
from prodml_magics.inference.variants import Made, Make, VariantName

__all__ = ["main"]

Rows = Mapping[str, np.ndarray]
_BATCH = 32


def main() -> None:
    """Read a `Make` from stdin, write a `Made` to stdout."""
    answers = os.dup(1)
    os.dup2(2, 1)  # the tools print, and log advice on the root logger
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    import onnxruntime.quantization  # noqa: F401  mapped before the limit, which counts from here

    limit_memory(MEMORY_BYTES)
    ask = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Make)
    try:
        made = Made(_MAKERS[ask.variant](ask.model, unpack(ask.rows)))
    except Exception as error:  # onnxruntime's tools raise what comes
        made = Made(refused=first_line(error, 200))
    with os.fdopen(answers, "wb") as stream:
        stream.write(msgspec.msgpack.encode(made))


def _graph(model: bytes, rows: Rows) -> bytes:
    import onnxruntime

    with tempfile.TemporaryDirectory(prefix="prodml-") as folder:
        path = Path(folder) / "model.onnx"
        options = onnxruntime.SessionOptions()
        # what the highest level writes fits the processor that it was written on alone
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return path.read_bytes()


def _int8(model: bytes, rows: Rows) -> bytes:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # convolutions are left out: in this form they are ten times slower
    return _written(
        model,
        lambda graph, path: quantize_dynamic(
            graph, path, per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"]
        ),
    )


def _int8_static(model: bytes, rows: Rows) -> bytes:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    return _written(
        model,
        lambda graph, path: quantize_static(
            graph,
            path,
            _Batches(rows),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gemm", "Conv"],
        ),
    )


class _Batches:
    """Calibration rows, a batch at a time."""

    def __init__(self, rows: Rows) -> None:
        count = len(next(iter(rows.values())))
        self._left = [{name: values[at : at + _BATCH] for name, values in rows.items()} for at in range(0, count, _BATCH)]

    def get_next(self) -> dict[str, np.ndarray] | None:
        return self._left.pop(0) if self._left else None

    def __iter__(self) -> _Batches:
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        found = self.get_next()
        if found is None:
            raise StopIteration
        return found


def _fp16(model: bytes, rows: Rows) -> bytes:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    half = OnnxModel(convert_float_to_float16(onnx.load_model_from_string(model), keep_io_types=True))
    half.topological_sort()
    return bytes(half.model.SerializeToString())


def _written(model: bytes, quantise: Callable[[Any, str], None]) -> bytes:
    import onnx

    graph = onnx.load_model_from_string(model)
    del graph.graph.value_info[:]  # shapes of exporters, which the tools hold against their own
    with tempfile.TemporaryDirectory(prefix="prodml-") as folder:
        path = Path(folder) / "model.onnx"
        quantise(graph, str(path))
        return path.read_bytes()


_MAKERS: dict[VariantName, Callable[[bytes, Rows], bytes]] = {
    "graph": _graph,
    "int8": _int8,
    "int8-static": _int8_static,
    "fp16": _fp16,
}

if __name__ == "__main__":
    main()
