"""Requests that wait for one lane, taken from tenant after tenant in proportion to rows, so that none is held up by another's flood.

Start-time fair queueing (Goyal, Vin & Cheng, SIGCOMM 1996) with equal weights: the next request is of the tenant that was served least
since it began to wait. A tenant is whoever a bearer token names; without tokens there is one, and this is a plain queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

__all__ = ["FairQueue", "Queued"]


class Queued(Protocol):
    """What waits."""

    @property
    def tenant(self) -> str: ...

    @property
    def rows(self) -> int: ...


T = TypeVar("T", bound=Queued)


class _Line(Generic[T]):
    """What one tenant waits with."""

    __slots__ = ("requests", "rows", "served")

    def __init__(self, served: int) -> None:
        self.requests: deque[T] = deque()
        self.rows = 0
        self.served = served
        """Rows taken from it, counted from where the least served of the others stood when it began to wait."""


class FairQueue(Generic[T]):
    """Of one lane. `rows` is what all tenants wait with."""

    __slots__ = ("_lines", "rows")

    def __init__(self) -> None:
        self._lines: dict[str, _Line[T]] = {}
        self.rows = 0

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __iter__(self) -> Iterator[T]:
        for line in self._lines.values():
            yield from line.requests

    @property
    def tenants(self) -> int:
        """How many wait."""
        return len(self._lines)

    def rows_of(self, tenant: str) -> int:
        """What one of them waits with."""
        line = self._lines.get(tenant)
        return 0 if line is None else line.rows

    def append(self, request: T) -> None:
        """The newest of its tenant."""
        line = self._line(request.tenant)
        line.requests.append(request)
        line.rows += request.rows
        self.rows += request.rows

    def appendleft(self, request: T) -> None:
        """The next of its tenant, which had it taken before: that does not count."""
        line = self._line(request.tenant)
        line.requests.appendleft(request)
        line.served -= request.rows
        line.rows += request.rows
        self.rows += request.rows

    def peek(self) -> T:
        """What `popleft` would take."""
        return self._lines[self._next()].requests[0]

    def popleft(self) -> T:
        """The next request."""
        tenant = self._next()
        line = self._lines[tenant]
        request = line.requests.popleft()
        line.rows -= request.rows
        line.served += request.rows
        self.rows -= request.rows
        if not line.requests:
            del self._lines[tenant]
        return request

    def take_all(self) -> list[T]:
        """Everything, each tenant's in order."""
        found = [request for line in self._lines.values() for request in line.requests]
        self._lines.clear()
        self.rows = 0
        return found

    def _line(self, tenant: str) -> _Line[T]:
        line = self._lines.get(tenant)
        if line is None:
            least = min([other.served for other in self._lines.values()]) if self._lines else 0
            line = self._lines[tenant] = _Line(least)
        return line

    def _next(self) -> str:
        lines = self._lines
        if len(lines) == 1:
            return next(iter(lines))
        return min(lines, key=lambda tenant: lines[tenant].served)
