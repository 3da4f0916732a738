"""Who runs when in a turn of the event loop: every lane that has requests, in an order drawn anew each time; then all of them reply.

The second of two runs waits for the first, and its requests take as much longer. Were the order that of arrival, or fixed, two identical
versions would look different; drawn at random they look the same. Replies take longer than runs, and as long as there are requests:
were they sent before the other version runs, the version with few requests would wait for those of the one with many.
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
        self._replies: list[Callable[[], None]] | None = None
        """Of the turn that is on; None outside of one."""

    def soon(self, turn: Callable[[], None]) -> None:
        """Call `turn` in the next turn of the event loop, with all others that want one."""
        self._waiting.append(turn)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._take)

    def reply(self, reply: Callable[[], None]) -> None:
        """Call `reply` when every lane of this turn has run; at once where none is on."""
        if self._replies is None:
            reply()
        else:
            self._replies.append(reply)

    def _take(self) -> None:
        turns, self._waiting = self._waiting, []
        if len(turns) > 1:
            self._random.shuffle(turns)
        replies: list[Callable[[], None]] = []
        self._replies = replies
        self._each(turns)
        self._replies = None
        self._each(replies)

    def _each(self, calls: list[Callable[[], None]]) -> None:
        for call in calls:
            try:
                call()
            except Exception as error:  # one lane's fault must not keep the others from their turn
                asyncio.get_running_loop().call_exception_handler({"message": "a turn failed", "exception": error})
