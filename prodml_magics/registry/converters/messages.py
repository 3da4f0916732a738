"""What passes between a registration and the process that converts for it."""

from __future__ import annotations

import msgspec

__all__ = ["Converted"]


class Converted(msgspec.Struct, frozen=True):
    """The ONNX file, or why there is none; `faults` says how each step fared when that was asked for."""

    model: bytes = b""
    unsupported: str = ""
    faults: list[str] = []
