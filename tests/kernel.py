"""What the kernel says of a thread's slice."""

from __future__ import annotations

import ctypes
import platform
import re

__all__ = ["LONG_SLICES", "slice_of"]

_CALLS = {"x86_64": 315, "aarch64": 275}
_RELEASE = tuple(int(number) for number in re.findall(r"\d+", platform.release())[:2])
LONG_SLICES = platform.system() == "Linux" and platform.machine() in _CALLS and _RELEASE >= (6, 12)
"""Whether this kernel lets a thread choose its slice."""


def slice_of(thread: int = 0) -> int:
    """Nanoseconds; 0 where they are the kernel's own affair."""
    if not LONG_SLICES:
        return 0
    room = ctypes.create_string_buffer(48)
    assert ctypes.CDLL(None).syscall(_CALLS[platform.machine()], thread, room, 48, 0) == 0
    return int.from_bytes(room.raw[24:32], "little")
