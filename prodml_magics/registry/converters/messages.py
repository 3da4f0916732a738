"""What passes between a registration and the process that converts for it."""

from __future__ import annotations

import msgspec

__all__ = ["RUN", "Converted"]

RUN = b"R"
"""In front of an `inference.messages.Ask`; what begins otherwise is a pickled pair of verb and arguments."""


class Converted(msgspec.Struct, frozen=True):
    """The ONNX file, or why there is none; `faults` says how each step fared when that was asked for."""

    model: bytes = b""
    unsupported: str = ""
    faults: list[str] = []
