"""An ONNX model ready to answer, on a device that was verified."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from prodml_magics.errors import GateRefused, InvalidInput, Unavailable
from prodml_magics.inference.providers import CPU, CUDA, missing_for_gpu
from prodml_magics.inference.runs import Runs

__all__ = ["Session", "open_session"]

_QUIET = 4
"""onnxruntime's severity FATAL: errors reach us as exceptions, its log would only repeat them on stderr."""


class Session:
    """A model loaded into this process. `run` may be called from several threads."""

    isolated = False
    __slots__ = ("_names", "_runs", "_session", "device", "input_names", "output_names", "providers")

    def __init__(self, session: Any, device: Literal["cpu", "gpu"]) -> None:
        self._session = session
        self._runs = Runs(_run_options)
        self.device = device
        self.providers: tuple[str, ...] = tuple(session.get_providers())
        self.input_names: tuple[str, ...] = tuple(node.name for node in session.get_inputs())
        self.output_names: tuple[str, ...] = tuple(node.name for node in session.get_outputs())
        self._names = list(self.output_names)

    def run(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The output tensors by name. onnxruntime's own exceptions pass through: the caller checked the input.

        Raises `RunEnded` when `end_runs` ended it.
        """
        found = self._runs.call(lambda options: self._session.run(self._names, tensors, options))
        return dict(zip(self.output_names, found, strict=True))

    def end_runs(self, overdue: Callable[[int, float], bool]) -> int:
        """End the runs for which `overdue` (thread, monotonic seconds when it began) is true; returns how many there were."""
        return self._runs.end(overdue)

    def close(self) -> None:
        """Nothing to do: onnxruntime gives its memory back with the last reference."""


def open_session(model: bytes, *, device: Literal["auto", "cpu", "gpu"] = "auto", threads: int = 1) -> Session:
    """Load an ONNX file from its bytes on the CPU or wholly on the GPU.

    `auto` takes the GPU where one is found and has a kernel for every operator of the model, and else the CPU; `gpu`
    raises `Unavailable` naming what is missing. `threads` is per call and on the CPU: 1 is fastest for small batches.
    Raises `GateRefused` when onnxruntime cannot load the file, `InvalidInput` for another device.
    """
    if device not in ("auto", "cpu", "gpu"):
        raise InvalidInput(f"{device!r} is not a device; use auto, cpu or gpu")
    if device == "cpu":
        return _open_cpu(model, threads)
    try:
        return _open_gpu(model, threads)
    except Unavailable:
        if device == "gpu":
            raise
        return _open_cpu(model, threads)


def _open_cpu(model: bytes, threads: int) -> Session:
    try:
        session = _load(model, threads, [CPU])
    except Exception as error:  # onnxruntime has one exception class per status code and no base class of its own
        raise GateRefused(f"onnxruntime cannot load the model: {_line(error)}; convert it again") from error
    if session.get_providers() != [CPU]:
        raise Unavailable(f"onnxruntime loaded {session.get_providers()} where the CPU was asked for")
    return Session(session, "cpu")


def _open_gpu(model: bytes, threads: int) -> Session:
    missing = missing_for_gpu()
    if missing:
        raise Unavailable(f"no GPU to serve from: {missing}")
    try:
        session = _load(model, threads, [CUDA, CPU], ("session.disable_cpu_ep_fallback", "1"))
    except Exception as error:  # as above
        raise Unavailable(f"the model cannot run wholly on the GPU: {_line(error)}; use --device cpu") from error
    if session.get_providers()[0] != CUDA:
        raise Unavailable("onnxruntime could not load CUDA; pip install 'prodml-magics[gpu]', or use --device cpu")
    return Session(session, "gpu")


def _load(model: bytes, threads: int, providers: Sequence[str], *entries: tuple[str, str]) -> Any:
    import onnxruntime

    onnxruntime.set_default_logger_severity(_QUIET)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _QUIET
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    for key, value in entries:
        options.add_session_config_entry(key, value)
    return onnxruntime.InferenceSession(model, options, providers=list(providers))


def _run_options() -> Any:
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = _QUIET
    return options


def _line(error: Exception) -> str:
    """The first line of a native error, without onnxruntime's status prefix."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return text.rpartition("[ONNXRuntimeError] : ")[2][:300]
