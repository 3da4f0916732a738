"""Which execution providers a session may use here, what each is told, and the reason where the GPU is out."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["CPU", "CUDA", "TENSORRT", "Device", "Gpu", "gpu_providers", "missing_for_gpu"]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
Device = Literal["auto", "cpu", "gpu", "tensorrt"]
_DEVICE_NODE = Path("/dev/nvidiactl")
_STEP = 2


@dataclass(frozen=True)
class Gpu:
    """How a session uses a GPU that it may share with others."""

    memory_bytes: int | None = None
    """The most that its arena may take; none: whatever is free."""
    most_rows: int = 1024
    """Rows of the largest run for which it keeps buffers and a captured graph; 0 keeps none."""
    engines: Path | None = None
    """Folder in which TensorRT keeps the engines that it has built, which takes minutes; none builds them anew each time."""

    @property
    def rows(self) -> tuple[int, ...]:
        """Numbers of rows that have buffers, each twice the one before; fewer rows are padded up to the next."""
        found, rows = [], 1
        while rows < self.most_rows:
            found.append(rows)
            rows *= _STEP
        return (*found, self.most_rows) if self.most_rows > 0 else ()


def gpu_providers(
    device: Device, gpu: Gpu, row_shapes: Mapping[str, Sequence[int]] | None = None
) -> list[tuple[str, dict[str, str]]]:
    """Providers with their options for a model that runs wholly on the GPU, best first; the CPU's is never among them.

    onnxruntime refuses a session that names the CPU's provider and forbids to fall back on it at once. `row_shapes` are those of one
    row of each input: TensorRT then builds one engine for all numbers of rows, instead of a new one for each that it meets.

    Numbers stay float32 (no TF32, which keeps 10 bits of the mantissa), since versions are held to their registered answers.
    Options: https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html and …/TensorRT-ExecutionProvider.html.
    """
    cuda = {
        "device_id": "0",
        # Grows by what is asked for: the default doubles, and takes from models beside it what it never uses.
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "0",
        "enable_cuda_graph": "1" if gpu.rows else "0",
    }
    if gpu.memory_bytes is not None:
        cuda["gpu_mem_limit"] = str(gpu.memory_bytes)
    if device != "tensorrt":
        return [(CUDA, cuda)]
    tensorrt = {"device_id": "0", "trt_fp16_enable": "0", "trt_cuda_graph_enable": cuda["enable_cuda_graph"]}
    if gpu.memory_bytes is not None:
        tensorrt["trt_max_workspace_size"] = str(gpu.memory_bytes)
    if gpu.engines is not None:
        tensorrt |= {"trt_engine_cache_enable": "1", "trt_timing_cache_enable": "1"}
        tensorrt |= {"trt_engine_cache_path": str(gpu.engines), "trt_timing_cache_path": str(gpu.engines)}
    if row_shapes and gpu.rows:
        for name, rows in (("min", 1), ("opt", gpu.rows[-1]), ("max", gpu.rows[-1])):
            shapes = (f"{each}:{'x'.join(map(str, (rows, *shape)))}" for each, shape in row_shapes.items())
            tensorrt[f"trt_profile_{name}_shapes"] = ",".join(shapes)
    return [(TENSORRT, tensorrt), (CUDA, cuda)]


def missing_for_gpu(device: Device = "gpu") -> str | None:
    """What stands between this machine and a session on its GPU, or None when nothing obvious does.

    onnxruntime-gpu claims CUDA on machines without a GPU, so that the driver's device node is looked at as well. Where it
    exists, the CUDA libraries that pip installed are loaded, which a session would otherwise not find.
    """
    if not _DEVICE_NODE.exists():  # asked first: it costs no import
        return f"no NVIDIA driver here ({_DEVICE_NODE} does not exist); use --device cpu"
    import onnxruntime

    available = onnxruntime.get_available_providers()
    if CUDA not in available:
        return "this onnxruntime was built without CUDA; pip install 'prodml-magics[gpu]'"
    if device == "tensorrt" and TENSORRT not in available:
        return "this onnxruntime was built without TensorRT; use --device gpu"
    with contextlib.redirect_stdout(io.StringIO()):  # preload_dlls prints what it cannot find and never raises
        onnxruntime.preload_dlls()
    return None
