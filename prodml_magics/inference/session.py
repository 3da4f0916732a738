"""An ONNX model ready to answer, on a device that was verified."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from prodml_magics.errors import GateRefused, InvalidInput, Unavailable
from prodml_magics.inference.bound import Bound
from prodml_magics.inference.providers import CPU, Device, Gpu, gpu_providers, missing_for_gpu
from prodml_magics.inference.runs import Runs

__all__ = ["Session", "open_session"]

_log = logging.getLogger(__name__)
_ANY_GPU = Gpu()
_QUIET = 4
"""onnxruntime's severity FATAL: errors reach us as exceptions, its log would only repeat them on stderr."""


class Session:
    """A model loaded into this process. `run` may be called from several threads."""

    isolated = False
    __slots__ = ("_bound", "_names", "_run", "_runs", "device", "input_names", "output_names", "providers")

    def __init__(self, session: Any, device: Literal["cpu", "gpu"], rows: Sequence[int] = ()) -> None:
        """`rows` are the numbers of rows for which it keeps buffers on its device; none on the CPU, where that gains nothing."""
        self._run = getattr(session, "_sess", session).run
        """Without what onnxruntime does around it in Python, which costs as much again as one row of a small model."""
        self._runs = Runs(_run_options)
        self.device = device
        self.providers: tuple[str, ...] = tuple(session.get_providers())
        self.input_names: tuple[str, ...] = tuple(node.name for node in session.get_inputs())
        self.output_names: tuple[str, ...] = tuple(node.name for node in session.get_outputs())
        self._names = list(self.output_names)
        self._bound = Bound(session, "cuda" if device == "gpu" else "cpu", rows, _graph_options) if rows else None

    def run(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The output tensors by name. onnxruntime's own exceptions pass through: the caller checked the input.

        Raises `RunEnded` when `end_runs` ended it.
        """
        if self._bound is not None:
            found = self._bound.run(tensors, self._runs.call)
        else:
            found = self._runs.call(lambda options: self._run(self._names, tensors, options))
        return dict(zip(self._names, found, strict=False))  # one for each name

    def warm(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Have what a GPU needs for every number of rows made before anybody waits for it; `tensors` are rows to be had."""
        if self._bound is not None:
            self._bound.warm(tensors, self._runs.call)

    def end_runs(self, overdue: Callable[[int, float], bool]) -> int:
        """End the runs for which `overdue` (thread, monotonic seconds when it began) is true; returns how many there were."""
        return self._runs.end(overdue)

    def close(self) -> None:
        """Nothing to do: onnxruntime gives its memory back with the last reference."""


def open_session(model: bytes, *, device: Device = "auto", threads: int = 1, gpu: Gpu = _ANY_GPU) -> Session:
    """Load an ONNX file from its bytes on the CPU or wholly on the GPU.

    `auto` takes the GPU where one is found and has a kernel for every operator of the model, and else the CPU, with the reason in
    the log where there is a GPU; `gpu` and `tensorrt` raise `Unavailable` naming what is missing. `threads` is per call and on the
    CPU: 1 is fastest for small batches. Raises `GateRefused` when onnxruntime cannot load the file, `InvalidInput` for another device.
    """
    if device not in get_args(Device):
        raise InvalidInput(f"{device!r} is not a device; use auto, cpu, gpu or tensorrt")
    missing = None if device == "cpu" else missing_for_gpu(device)
    if missing and device != "auto":
        raise Unavailable(f"no GPU to serve from: {missing}")
    if device == "cpu" or missing:
        return _open_cpu(model, threads)
    try:
        return _open_gpu(model, device, gpu)
    except Unavailable as error:
        if device != "auto":
            raise
        _log.warning("served from the CPU: %s", error)
        return _open_cpu(model, threads)


def _open_cpu(model: bytes, threads: int) -> Session:
    try:
        session = _load(model, threads, [CPU])
    except Exception as error:  # onnxruntime has one exception class per status code and no base class of its own
        raise GateRefused(f"onnxruntime cannot load the model: {_line(error)}; convert it again") from error
    if session.get_providers() != [CPU]:
        raise Unavailable(f"onnxruntime loaded {session.get_providers()} where the CPU was asked for")
    return Session(session, "cpu")


def _open_gpu(model: bytes, device: Device, gpu: Gpu) -> Session:
    shapes = _row_shapes(model) if device == "tensorrt" else None
    providers = gpu_providers(device, gpu, shapes)
    if gpu.engines is not None:
        gpu.engines.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        # Without the CPU's provider, and with none to fall back on: an operator that the GPU lacks is an error here.
        session = _load(model, 1, providers, ("session.disable_cpu_ep_fallback", "1"))
    except Exception as error:  # as above
        raise Unavailable(f"the model cannot run wholly on the GPU: {_line(error)}; use --device cpu") from error
    found, wanted = session.get_providers(), providers[0][0]
    if not found or found[0] != wanted:
        raise Unavailable(f"onnxruntime could not load {wanted}; pip install 'prodml-magics[gpu]', or use --device cpu")
    return Session(session, "gpu", gpu.rows)


def _row_shapes(model: bytes) -> dict[str, list[int]] | None:
    """The shape of one row of every input; none where one has further free axes."""
    found = {node.name: list(node.shape[1:]) for node in _load(model, 1, [CPU]).get_inputs()}
    return found if all(isinstance(size, int) for shape in found.values() for size in shape) else None


def _load(model: bytes, threads: int, providers: Sequence[Any], *entries: tuple[str, str]) -> Any:
    import onnxruntime

    onnxruntime.set_default_logger_severity(_QUIET)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _QUIET
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    for key, value in entries:
        options.add_session_config_entry(key, value)
    # Without `enable_fallback=0` a run that fails on a GPU would move the session to the CPU, with a line on stdout.
    return onnxruntime.InferenceSession(model, options, providers=list(providers), enable_fallback=0)


def _run_options() -> Any:
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = _QUIET
    return options


def _graph_options(number: int) -> Any:
    """Run options under which a GPU captures a graph of this number and replays it later; -1 for a run as any other."""
    options = _run_options()
    options.add_run_config_entry("gpu_graph_id", str(number))
    return options


def _line(error: Exception) -> str:
    """The first line of a native error, without onnxruntime's status prefix."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return text.rpartition("[ONNXRuntimeError] : ")[2][:300]
