"""Who works in the background lets those who answer have the processor as soon as they wake.

Linux lets a thread finish its slice, of 1 to 4 milliseconds, before another that wakes gets its turn, unless the other's slice is shorter
(EEVDF, from Linux 6.12, where a thread may choose its own: ``man 2 sched_setattr``, ``sched_runtime``). A thread with a longer slice is
interrupted by everyone who wakes, and gets as large a share of the processor as before: unlike a nice value, which would leave it next to
nothing beside threads that are always busy. Not much longer: those do not wake, and have to wait until it ends.
"""

from __future__ import annotations

import ctypes
import platform
import struct

__all__ = ["take_longer_slices"]

_TIMES = 2
_LONGEST_NANOSECONDS = 100_000_000
"""The longest that the kernel takes."""
_CALLS = {"x86_64": (314, 315), "aarch64": (274, 275)}
"""The numbers of sched_setattr and sched_getattr, which the C library of most distributions does not know by name."""
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")
"""struct sched_attr as far as its first version goes: size, policy, flags, nice, priority, runtime, deadline, period."""


def take_longer_slices(thread: int = 0) -> bool:
    """Give a thread (its number before the kernel; 0 for the calling one) and those that it starts slices of twice the length.

    Returns whether the kernel did: False on an older one, elsewhere than on Linux, and for a thread that has ended.
    """
    if platform.system() != "Linux" or platform.machine() not in _CALLS:
        return False
    write, read = _CALLS[platform.machine()]
    call = ctypes.CDLL(None).syscall
    room = ctypes.create_string_buffer(_ATTRIBUTES.size)
    if call(read, thread, room, _ATTRIBUTES.size, 0):
        return False
    size, policy, flags, nice, priority, runtime, *rest = _ATTRIBUTES.unpack(room.raw)
    if not runtime:
        return False  # a kernel whose slices are its own affair, or a thread that is idle or real-time
    longer = min(_TIMES * runtime, _LONGEST_NANOSECONDS)
    wanted = _ATTRIBUTES.pack(size, policy, flags, nice, priority, longer, *rest)
    return not call(write, thread, ctypes.create_string_buffer(wanted, _ATTRIBUTES.size), 0)
