"""What the front hands to the core, and what the core hands back: plain values, no HTTP."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Answer", "Pending"]


@dataclass(slots=True)
class Pending:
    """One request on its way through the core; `tensors` are checked against the contract."""

    request_id: str
    key: str
    tensors: dict[str, np.ndarray]
    rows: int
    received_at: float
    """Seconds since 1970, UTC."""
    started: float
    """Monotonic seconds, when the last byte was read."""
    future: asyncio.Future[Answer]
    abandoned: bool = field(default=False)
    """True once it was answered otherwise (deadline, closed connection); its rows are then not logged again."""


@dataclass(slots=True)
class Answer:
    """Outputs by name, batch axis first, of one request."""

    version: int
    arm: str
    outputs: dict[str, np.ndarray]
