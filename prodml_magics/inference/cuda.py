"""The few calls of the CUDA runtime that onnxruntime has no word for: page-locked memory of the host, and how much a GPU has left."""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["gpu_memory", "pinned_empty"]

_NAMES = ("libcudart.so.12", "libcudart.so.13")


def pinned_empty(shape: Sequence[int], dtype: Any, runtime: Any = None) -> np.ndarray:
    """An array of `shape`, its memory page-locked where the CUDA runtime is loaded, and else an ordinary one.

    A GPU reads such memory by itself, without a copy into a buffer of the driver.
    `runtime` is the CUDA runtime; by default the one that onnxruntime has loaded. The lock goes with the last view of the array.
    """
    found = np.empty(shape, dtype)
    runtime = runtime or _runtime()
    if runtime is None or not found.nbytes:
        return found
    address = found.ctypes.data
    # cudaHostRegister(void *ptr, size_t size, unsigned int flags) is 0 when it worked; where it did not, transfers are only slower.
    if runtime.cudaHostRegister(ctypes.c_void_p(address), ctypes.c_size_t(found.nbytes), ctypes.c_uint(0)) == 0:
        weakref.finalize(found, runtime.cudaHostUnregister, ctypes.c_void_p(address)).atexit = False
    return found


def gpu_memory(runtime: Any = None) -> tuple[int, int] | None:
    """Bytes of the GPU's memory that are in use, by anybody, and all there are; None where no CUDA runtime is loaded."""
    runtime = runtime or _runtime()
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    # cudaMemGetInfo(size_t *free, size_t *total) is 0 when it worked.
    if runtime is None or runtime.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total)) != 0:
        return None
    return total.value - free.value, total.value


def _runtime() -> Any:
    """The CUDA runtime of this process, where one is loaded: never a second one from somewhere else."""
    if not hasattr(os, "RTLD_NOLOAD"):
        return None
    for name in _NAMES:
        try:
            return ctypes.CDLL(name, mode=os.RTLD_NOLOAD | os.RTLD_NOW)
        except OSError:
            continue
    return None
