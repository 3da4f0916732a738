"""Which execution providers a session may use here, and the reason where CUDA is out."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

__all__ = ["CPU", "CUDA", "missing_for_gpu"]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
_DEVICE_NODE = Path("/dev/nvidiactl")


def missing_for_gpu() -> str | None:
    """What stands between this machine and a CUDA session, or None when nothing obvious does.

    onnxruntime-gpu claims CUDA on machines without a GPU, so that the driver's device node is looked at as well. Where it
    exists, the CUDA libraries that pip installed are loaded, which a session would otherwise not find.
    """
    import onnxruntime

    if CUDA not in onnxruntime.get_available_providers():
        return "this onnxruntime was built without CUDA; pip install 'prodml-magics[gpu]'"
    if not _DEVICE_NODE.exists():
        return f"no NVIDIA driver here ({_DEVICE_NODE} does not exist); use --device cpu"
    with contextlib.redirect_stdout(io.StringIO()):  # preload_dlls prints what it cannot find and never raises
        onnxruntime.preload_dlls()
    return None
