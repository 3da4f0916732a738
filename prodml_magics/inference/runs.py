"""The runs of a session that are under way, each of which can be ended from another thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from prodml_magics.errors import DeadlineExceeded

__all__ = ["RunEnded", "Runs"]


class RunEnded(DeadlineExceeded):
    """The model was still running after its time and was ended; the session goes on."""


class _Run:
    __slots__ = ("ended", "options", "started", "thread")

    def __init__(self, options: Any) -> None:
        self.options = options
        self.started = time.monotonic()
        self.thread = threading.get_ident()
        self.ended = False


class Runs:
    """Kept by one session. onnxruntime looks at ``RunOptions.terminate`` between the operators of a graph, loops included, so that an
    endless loop ends at once and one endless operator never does.
    """

    __slots__ = ("_make", "_running", "_spare")

    def __init__(self, make_options: Callable[[], Any]) -> None:
        self._make = make_options
        self._running: dict[int, _Run] = {}
        """By thread: one thread runs one thing at a time."""
        self._spare: list[Any] = []

    def call(self, run: Callable[[Any], Any], own: Any = None) -> Any:
        """What `run` returns for run options that `end` can end, `own` where given; raises `RunEnded` when it did."""
        options = own or (self._spare.pop() if self._spare else self._make())
        under_way = _Run(options)
        self._running[under_way.thread] = under_way
        try:
            return run(options)
        except Exception as error:
            if under_way.ended:
                seconds = time.monotonic() - under_way.started
                raise RunEnded(f"it was still running after {seconds:.2g} s and was ended; send fewer rows") from error
            raise
        finally:
            del self._running[under_way.thread]
            if own is not None:
                options.terminate = False
            elif not under_way.ended:  # the flag stays set, and would end the next run as well
                self._spare.append(options)

    def end(self, overdue: Callable[[int, float], bool]) -> int:
        """End the runs for which `overdue` (thread, monotonic seconds when it began) is true; returns how many there were."""
        late = [run for run in list(self._running.values()) if not run.ended and overdue(run.thread, run.started)]
        for run in late:
            run.ended = True
            run.options.terminate = True
        return len(late)
