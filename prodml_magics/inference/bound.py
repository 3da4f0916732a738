"""Runs over buffers that stay where they are, as a GPU wants them: nothing is allocated, and a captured graph can be replayed."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from prodml_magics.inference.cuda import pinned_empty

__all__ = ["Bound"]

_MOST_KEPT = 16
Shape = tuple[int, ...]
Key = tuple[int, tuple[Shape, ...]]
Call = Callable[[Callable[[Any], Any], Any], Any]


class Bound:
    """The runs of one session whose rows do not depend on one another, the batch axis first everywhere.

    A run of n rows uses the buffers of the next larger number in `rows`, filled up with copies of its last row. Buffers for a number
    of rows and a shape of the rest of the axes are made when they are first wanted; the least recently used of more than 16 go.
    """

    def __init__(self, session: Any, device: str, rows: Sequence[int], options: Callable[[int], Any]) -> None:
        """`device` is onnxruntime's word for where buffers lie; `options` makes run options that capture a graph under a number
        above 0, and none under -1.
        """
        self._session = session
        self._device = device
        self._rows = rows
        self._options = options
        self._plain = options(-1)
        self._inputs = [node.name for node in session.get_inputs()]
        self._outputs = [node.name for node in session.get_outputs()]
        self._sets: OrderedDict[Key, _Buffers | None] = OrderedDict()
        self._graphs = 0
        self._lock = threading.Lock()
        """One run at a time: they share buffers, and onnxruntime captures graphs of one run at a time."""

    def run(self, tensors: Mapping[str, np.ndarray], call: Call) -> list[np.ndarray]:
        """The outputs in order. `call` calls a function with run options, so that whoever keeps watch can end it."""
        values = [np.asarray(tensors[name]) for name in self._inputs]
        with self._lock:
            buffers = self._buffers(values, call)
            if buffers is None:
                return list(call(lambda options: self._session.run(self._outputs, dict(tensors), options), self._plain))
            return buffers.run(values, call)

    def warm(self, tensors: Mapping[str, np.ndarray], call: Call) -> None:
        """Make buffers and graphs for every number of rows ahead, from rows like these."""
        for rows in self._rows:
            self.run({name: np.resize(value, (rows, *np.shape(value)[1:])) for name, value in tensors.items()}, call)

    def _buffers(self, values: Sequence[np.ndarray], call: Call) -> _Buffers | None:
        """Those for `values`; None for more rows than any has, or where rows are not the first axis of everything."""
        rows = len(values[0]) if values and values[0].ndim else 0
        place = bisect_left(self._rows, rows)
        if not rows or place == len(self._rows) or any(value.ndim == 0 or len(value) != rows for value in values):
            return None
        key = (self._rows[place], tuple(value.shape[1:] for value in values))
        if key not in self._sets:
            self._sets[key] = self._made(key[0], values, call)
            if len(self._sets) > _MOST_KEPT:
                self._sets.popitem(last=False)
        self._sets.move_to_end(key)
        return self._sets[key]

    def _made(self, rows: int, values: Sequence[np.ndarray], call: Call) -> _Buffers | None:
        hosts = [pinned_empty((rows, *value.shape[1:]), value.dtype) for value in values]
        for host, value in zip(hosts, values, strict=True):
            _fill(host, value)
        feeds = dict(zip(self._inputs, hosts, strict=True))
        found = call(lambda options: self._session.run(self._outputs, feeds, options), self._plain)
        if any(not isinstance(value, np.ndarray) or value.ndim == 0 or len(value) != rows for value in found):
            return None
        self._graphs += 1  # a number is never used again: it stands for the addresses of these very buffers
        outputs = dict(zip(self._outputs, found, strict=True))
        return _Buffers(self._session, self._device, feeds, outputs, self._options(self._graphs))


class _Buffers:
    """One set of buffers, bound to the inputs and outputs of a session."""

    def __init__(
        self, session: Any, device: str, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray], options: Any
    ) -> None:
        self._session = session
        self._options = options
        self._hosts = list(inputs.values())
        self._inputs = [_room(value, device) for value in inputs.values()]
        self._outputs = [_room(value, device) for value in outputs.values()]
        self._binding = session.io_binding()
        for name, value in zip(inputs, self._inputs, strict=True):
            self._binding.bind_ortvalue_input(name, value)
        for name, value in zip(outputs, self._outputs, strict=True):
            self._binding.bind_ortvalue_output(name, value)

    def run(self, values: Sequence[np.ndarray], call: Call) -> list[np.ndarray]:
        """The outputs for `values`, copied out of the buffers."""
        for host, value, bound in zip(self._hosts, values, self._inputs, strict=True):
            _fill(host, value)
            bound.update_inplace(host)
        call(lambda options: self._session.run_with_iobinding(self._binding, options), self._options)
        return [np.array(bound.numpy()[: len(values[0])]) for bound in self._outputs]


def _room(like: np.ndarray, device: str) -> Any:
    from onnxruntime import OrtValue

    return OrtValue.ortvalue_from_shape_and_type(list(like.shape), like.dtype.type, device, 0)


def _fill(host: np.ndarray, value: np.ndarray) -> None:
    """`value` into the first rows of `host`, its last row into the others: whatever it is, a row like it was sent."""
    host[: len(value)] = value
    host[len(value) :] = value[-1]
