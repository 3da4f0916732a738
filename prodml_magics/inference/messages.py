"""What passes between this process and one that runs a model for it: tensors as MessagePack, never pickled."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

__all__ = ["Answer", "Ask", "Packed", "Run", "Start", "pack", "unpack"]


class Packed(msgspec.Struct, frozen=True, array_like=True):
    """A tensor: numbers as raw bytes in C order, text as a list of str."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes | list[str]


class Ask(msgspec.Struct, frozen=True):
    """Load `model` and run every batch, with `memory_bytes` on top of what the empty process uses."""

    model: bytes
    batches: list[dict[str, Packed]]
    memory_bytes: int
    cpu_seconds: int


class Start(msgspec.Struct, frozen=True):
    """The first message to a process that stays: the model that it answers for, and the bytes of its contract."""

    model: bytes
    contract: bytes
    device: str = "cpu"
    """Where it is to run, for models whose process can choose."""
    gpu_bytes: int | None = None


class Run(msgspec.Struct, frozen=True):
    """Answer these tensors."""

    tensors: dict[str, Packed]


class Answer(msgspec.Struct, frozen=True):
    """One dict of outputs for each batch, or the line that says what went wrong."""

    outputs: list[dict[str, Packed]] = []
    refused: str = ""
    seconds: float = 0.0
    """What the run took, without the way there and back."""
    device: str = "cpu"
    """Where the model runs, in the answer to the first message."""


def pack(tensors: Mapping[str, np.ndarray]) -> dict[str, Packed]:
    return {name: _pack(np.asarray(array)) for name, array in tensors.items()}


def unpack(tensors: Mapping[str, Packed]) -> dict[str, np.ndarray]:
    return {name: _unpack(tensor) for name, tensor in tensors.items()}


def _pack(array: np.ndarray) -> Packed:
    if array.dtype.kind in "OUT":
        return Packed("O", array.shape, [str(value) for value in array.ravel().tolist()])
    return Packed(array.dtype.str, array.shape, np.ascontiguousarray(array).tobytes())


def _unpack(tensor: Packed) -> np.ndarray:
    if isinstance(tensor.data, list):
        array = np.empty(len(tensor.data), object)
        array[:] = tensor.data
        return array.reshape(tensor.shape)
    return np.frombuffer(tensor.data, np.dtype(tensor.dtype)).reshape(tensor.shape)
