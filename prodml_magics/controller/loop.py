"""What the clock asks of the controller, each in a thread of its own so that neither waits for the other."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from prodml_magics.actions.advance import Advancing
from prodml_magics.actions.drain import Draining, Mirroring
from prodml_magics.actions.shadowing import Shadowing
from prodml_magics.actions.tend import Tending
from prodml_magics.errors import ProdmlError

__all__ = ["Loop"]

_log = logging.getLogger(__name__)
_DRAIN_SECONDS = 1.0
_ADVANCE_SECONDS = 0.5
_MIRROR_SECONDS = 3.0
_SHADOW_SECONDS = 1.0
_TEND_SECONDS = 10.0
_LONGEST_PAUSE = 60.0


class Loop:
    """Drains and judges shadows every second, advances rollouts every half, mirrors aliases every three and tends the lake every ten.

    It goes on until `stop`; a failure is logged once and tried again later.
    """

    def __init__(
        self, draining: Draining, mirroring: Mirroring, advancing: Advancing, shadowing: Shadowing, tending: Tending
    ) -> None:
        self._stopping = threading.Event()
        jobs: list[tuple[Callable[[], object], float]] = [
            (draining.drain, _DRAIN_SECONDS),
            (advancing.advance, _ADVANCE_SECONDS),
            (shadowing.look, _SHADOW_SECONDS),
            (mirroring.mirror, _MIRROR_SECONDS),
            (tending.tend, _TEND_SECONDS),
        ]
        self._threads = [threading.Thread(target=self._repeat, args=job, daemon=True) for job in jobs]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End after what is being done."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=10)

    def _repeat(self, job: Callable[[], object], interval: float) -> None:
        pause, last = interval, ""
        while not self._stopping.wait(pause):
            try:
                job()
            except Exception as error:  # the loop must outlive whatever a store throws; the reason goes to the log
                if str(error) != last:
                    _log.exception("%s", error) if not isinstance(error, ProdmlError) else _log.warning("%s", error)
                last, pause = str(error), min(_LONGEST_PAUSE, pause * 2)
            else:
                last, pause = "", interval
