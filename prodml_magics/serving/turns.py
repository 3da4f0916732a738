"""Who runs when in a turn of the event loop: every lane that has requests, in an order drawn anew each time.

The second of two runs waits for the first, and its requests take as much longer. Were the order that of arrival, or fixed, two identical
versions would look different; drawn at random they look the same.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

__all__ = ["Turns"]


class Turns:
    """Of one worker."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed)
        self._waiting: list[Callable[[], None]] = []

    def soon(self, turn: Callable[[], None]) -> None:
        """Call `turn` in the next turn of the event loop, with all others that want one."""
        self._waiting.append(turn)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._take)

    def _take(self) -> None:
        turns, self._waiting = self._waiting, []
        if len(turns) > 1:
            self._random.shuffle(turns)
        loop = asyncio.get_running_loop()
        for turn in turns:
            try:
                turn()
            except Exception as error:  # one lane's fault must not keep the others from their turn
                loop.call_exception_handler({"message": "a turn failed", "exception": error})
