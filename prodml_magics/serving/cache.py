"""Answers that were given before, by the bytes of the row: bounded in bytes, forgotten after a time, the least recently used first."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["PredictionCache", "row_keys"]

Tensors = Mapping[str, np.ndarray]
_OVERHEAD = 400
"""Bytes that an entry takes beside its key and its values: objects and their place in the table."""


def row_keys(tensors: Tensors) -> list[bytes]:
    """What tells the rows of `tensors` (batch axis first) apart: the bytes that the model would get, not those of the request.

    Texts are kept with their lengths, so that ``("a", "bc")`` is not ``("ab", "c")``.
    """
    parts = [_texts(values) if values.dtype.kind == "O" else _numbers(values) for values in tensors.values()]
    return parts[0] if len(parts) == 1 else [b"".join(row) for row in zip(*parts, strict=True)]


def _numbers(values: np.ndarray) -> list[bytes]:
    rows = len(values)
    data = values.tobytes()
    width = len(data) // max(rows, 1)
    return [data[start : start + width] for start in range(0, rows * width, width)] if width else [b""] * rows


def _texts(values: np.ndarray) -> list[bytes]:
    return [b"".join(_text(cell) for cell in row) for row in values.reshape(len(values), -1).tolist()]


def _text(cell: Any) -> bytes:
    if cell is None:
        return b"-"
    data = cell if isinstance(cell, bytes) else str(cell).encode("utf-8", "surrogatepass")
    return b"%d:%b" % (len(data), data)


class _Form:
    """How the outputs of one row are kept: numbers as bytes, anything else as it is."""

    def __init__(self, outputs: Tensors) -> None:
        self.outputs = [(name, values.dtype, values.shape[1:]) for name, values in outputs.items()]

    def rows(self, outputs: Tensors) -> list[tuple[Any, ...]]:
        kept = [_numbers(v) if v.dtype.kind != "O" else v.reshape(len(v), -1).tolist() for v in outputs.values()]
        return list(zip(*kept, strict=True))

    def arrays(self, rows: Sequence[tuple[Any, ...]]) -> dict[str, np.ndarray]:
        found = {}
        for (name, dtype, shape), kept in zip(self.outputs, zip(*rows, strict=True), strict=True):
            if dtype.kind == "O":
                flat = np.empty(sum(map(len, kept)), object)
                flat[:] = [cell for row in kept for cell in row]
            else:
                flat = np.frombuffer(b"".join(kept), dtype)
            found[name] = flat.reshape(len(rows), *shape)
        return found


class PredictionCache:
    """Of one version of one model. Keys are `row_keys`; what it holds never grows beyond `most_bytes`."""

    def __init__(self, most_bytes: int, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.most_bytes = most_bytes
        self.seconds = seconds
        self._monotonic = monotonic
        self._form: _Form | None = None
        self._entries: OrderedDict[bytes, tuple[float, tuple[Any, ...], int]] = OrderedDict()
        """By key: when it is forgotten, the outputs, and the bytes that it takes."""
        self.bytes = 0
        self.hits = 0
        """Rows answered from here."""
        self.misses = 0
        self.evicted = 0
        self.saved_seconds = 0.0
        """Seconds of model runs that hits have spared, at what the row took when it was run."""
        self._cost = 0.0

    def __len__(self) -> int:
        return len(self._entries)

    def has(self, keys: Sequence[bytes]) -> bool:
        """Whether every row can be answered; counts them as hits or as misses."""
        now = self._monotonic()
        for key in keys:
            entry = self._entries.get(key)
            if entry is None or entry[0] <= now:
                self.misses += len(keys)
                return False
        self.hits += len(keys)
        self.saved_seconds += self._cost * len(keys)
        for key in keys:
            self._entries.move_to_end(key)
        return True

    def answers(self, keys: Sequence[bytes]) -> dict[str, np.ndarray] | None:
        """The outputs of these rows by name, batch axis first; None when one of them is gone."""
        found = [self._entries.get(key) for key in keys]
        if self._form is None or any(entry is None for entry in found):
            return None
        return self._form.arrays([entry[1] for entry in found if entry is not None])

    def keep(self, keys: Sequence[bytes], outputs: Tensors, seconds: float) -> None:
        """Take rows that the model has answered in a run of `seconds`; rows with NaN or infinity in their outputs are not kept."""
        form = self._form = self._form or _Form(outputs)
        until = self._monotonic() + self.seconds
        self._cost += 0.1 * (seconds / max(len(keys), 1) - self._cost)
        whole = _finite(outputs)
        for key, row, kept in zip(keys, form.rows(outputs), whole, strict=True):
            if kept:
                self._put(key, until, row)
        while self.bytes > self.most_bytes and self._entries:
            self._forget(next(iter(self._entries)))
            self.evicted += 1

    def _put(self, key: bytes, until: float, row: tuple[Any, ...]) -> None:
        if key in self._entries:
            self._forget(key)
        size = len(key) + sum(map(_size, row)) + _OVERHEAD
        self._entries[key] = (until, row, size)
        self.bytes += size

    def _forget(self, key: bytes) -> None:
        self.bytes -= self._entries.pop(key)[2]


def _size(kept: Any) -> int:
    return len(kept) if isinstance(kept, bytes) else sum(len(str(cell)) + 50 for cell in kept)


def _finite(outputs: Tensors) -> np.ndarray:
    numbers = [np.isfinite(v.reshape(len(v), -1)).all(axis=1) for v in outputs.values() if v.dtype.kind == "f"]
    rows = len(next(iter(outputs.values())))
    return np.all(numbers, axis=0) if numbers else np.ones(rows, bool)
