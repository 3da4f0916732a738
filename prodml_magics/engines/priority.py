"""How much of a busy machine a process gets beside others.

Linux shares the processor among sessions first where `sched_autogroup_enabled` is set, as desktops and most servers have it, and among
the processes of a session only then: the nice value of a process that leads a session of its own says nothing to any other. The session
has a nice value too, in ``/proc/PID/autogroup`` (``man 7 sched``); both are set here.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

__all__ = ["yield_to_others"]

_TRIES = 3
_KERNEL_PAUSE_SECONDS = 0.11
"""The kernel takes one such change of an unprivileged user every 0.1 s."""


def yield_to_others(pid: int, nice: int) -> None:
    """Raise the nice value of a process by `nice` (up to 19), and set that of the session that it leads.

    Raised and not set, since no user may lower it: whoever starts all of this may stand back already. What has ended is left.
    """
    with contextlib.suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, pid, min(19, os.getpriority(os.PRIO_PROCESS, pid) + nice))
    session = Path(f"/proc/{pid}/autogroup")
    for _ in range(_TRIES):
        try:
            session.write_text(str(nice))
        except BlockingIOError:
            time.sleep(_KERNEL_PAUSE_SECONDS)
        except OSError:
            return  # no Linux, no such setting, or no such process
        else:
            return
