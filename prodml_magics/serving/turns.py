"""Who runs when in a turn of the event loop: every lane that has requests, in an order drawn anew each time; then all of them reply.

The second of two runs waits for the first, and its requests take as much longer. Were the order that of arrival, or fixed, two identical
versions would look different; drawn at random they look the same. Replies take longer than runs, and as long as there are requests:
were they sent before the other version runs, the version with few requests would wait for those of the one with many.

A turn takes what was read in one pass over the connections, as far as that is not too much: of very many connections the first would
wait for the last to be read, which costs more than a larger run saves. What comes over the only connection has its turn at once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextvars import copy_context

__all__ = ["Turns"]

_MOST = 64
"""Requests of one turn; what a run costs beside its rows is nothing beside reading and answering so many."""
_MANY = 128
"""Requests of one pass that can be the reason why it takes long; of fewer the machine is, and to refuse them would help nobody."""


class Turns:
    """Of one worker."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed)
        self._waiting: list[Callable[[], None]] = []
        self._replies: list[Callable[[], None]] | None = None
        """Of the turn that is on; None outside of one."""
        self._entered = 0
        """Requests that came since the last turn."""
        self._end, self._context = self._end_pass, copy_context()
        """Made once, not for every turn."""
        self._began = 0.0
        """When the first request of this pass came, in monotonic seconds; 0 between two passes."""
        self._read = 0
        """Requests of this pass."""
        self.lone = False
        """Set while a request is taken that no other can join in this pass."""

    def soon(self, turn: Callable[[], None]) -> None:
        """Call `turn` in the next turn of the event loop, with all others that want one."""
        self._waiting.append(turn)
        if len(self._waiting) == 1 and not (self.lone and self._replies is None):
            asyncio.get_running_loop().call_soon(self._end, context=self._context)

    def pass_seconds(self) -> float:
        """For how long requests have been read and answered in this pass over the connections, so that the next ones waited unread.

        0 while they are few: then it is not they that take so long.
        """
        return time.monotonic() - self._began if self._read >= _MANY else 0.0

    def entered(self) -> None:
        """A request waits in a lane that wants a turn; the turn comes at once when enough do, or no other can."""
        if self.lone and self._replies is None:
            self.lone = False
            if self._waiting:
                self._take()
            return
        self._entered += 1
        self._read += 1
        self._began = self._began or time.monotonic()
        if self._entered >= _MOST and self._waiting and self._replies is None:
            self._take()

    def reply(self, reply: Callable[[], None]) -> None:
        """Call `reply` when every lane of this turn has run; at once where none is on."""
        if self._replies is None:
            reply()
        else:
            self._replies.append(reply)

    def _end_pass(self) -> None:
        self._take()
        self._began, self._read = 0.0, 0

    def _take(self) -> None:
        turns, self._waiting, self._entered = self._waiting, [], 0
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
