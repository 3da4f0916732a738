"""Models of each family to ONNX files: one row of the table in `families` for each, one file for each converter."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from types import TracebackType
from typing import Any

import msgspec

from prodml_magics.contract.schema import Column
from prodml_magics.errors import Unsupported
from prodml_magics.inference.process import Child, ChildFailed, ChildTimeout
from prodml_magics.registry.converters.families import FAMILIES, Family, family_of
from prodml_magics.registry.converters.messages import Converted
from prodml_magics.registry.converters.network import Network
from prodml_magics.registry.layout import Precision

__all__ = ["CONVERSION_TIMEOUT_S", "FAMILIES", "ChildConverter", "Family", "family_of"]

CONVERSION_TIMEOUT_S = 120.0
"""Seconds; two known conversions never end, and the slowest useful one takes 7 s."""


class ChildConverter:
    """Converts in child processes, the first of them started at once: each takes 2 s to load what it needs.

    Use it in a ``with`` block, which leaves no process behind. With `keep_ready` the next process is started as soon as one
    is used, for callers that register again and again; it ends by itself when this process does.
    """

    def __init__(self, timeout_s: float = CONVERSION_TIMEOUT_S, *, keep_ready: bool = False) -> None:
        self._timeout_s, self._keep_ready = timeout_s, keep_ready
        self.meanwhile: Callable[[], None] | None = None
        """What this process does, once, while the next conversion runs in the other one: it would only wait."""
        self._ready: Child | None = _start()

    def __enter__(self) -> ChildConverter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the process that waits; the next conversion starts another."""
        ready, self._ready = self._ready, None
        if ready is not None:
            ready.__exit__(None, None, None)

    def convert(self, model: Any, columns: Sequence[Column], precision: Precision) -> bytes:
        """The ONNX file of a fitted model or pipeline, see `converters.sklearn.convert_sklearn_model`.

        A model that cannot be pickled (an open file among its attributes, say) is converted in this process, without a
        limit. Raises `Unsupported` for what ONNX cannot express, and for a conversion that takes longer than the limit.
        """
        message = _pickle("convert", (model, tuple(columns), precision))
        if message is None:
            from prodml_magics.registry.converters.sklearn import convert_sklearn_model

            return convert_sklearn_model(model, columns, precision)
        return self._answer(message, type(model).__name__)

    def convert_network(self, network: Network) -> bytes:
        """The ONNX file of a network, with the same errors.

        A JAX function is traced in this process: that is what calling it does, and what walks over its trace ends.
        """
        message = None if network.family == "jaxpr" else _pickle("network", (network,))
        if message is not None:
            return self._answer(message, network.name)
        found: bytes = import_module(f"{__name__}.{network.family}").convert_network(network)
        return found

    def blame(self, model: Any, rows: Any) -> list[str]:
        """The steps of `model` that are wrong alone, see `converters.blame`; empty when that cannot be told."""
        message = _pickle("blame", (model, rows))
        if message is None:
            return []
        try:
            return self._ask(message).faults
        except (ChildTimeout, ChildFailed):
            return []  # it only explains a refusal that stands

    def _answer(self, message: bytes, name: str) -> bytes:
        try:
            answer = self._ask(message)
        except ChildTimeout as error:
            raise Unsupported(
                f"converting {name} took longer than {self._timeout_s:g} s and was ended; use a simpler model"
            ) from error
        except ChildFailed as error:
            raise Unsupported(f"converting {name} failed: {error}; use another kind of model") from error
        if answer.unsupported:
            raise Unsupported(answer.unsupported)
        return answer.model

    def _ask(self, message: bytes) -> Converted:
        child, self._ready = self._ready or _start(), _start() if self._keep_ready else None
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is None:
            with child:
                return msgspec.msgpack.decode(child.ask(message, self._timeout_s), type=Converted)
        # the child is left first: that ends it, and with it the thread, when something is raised here
        with ThreadPoolExecutor(1) as waiting, child:
            answer = waiting.submit(child.ask, message, self._timeout_s)
            meanwhile()
            return msgspec.msgpack.decode(answer.result(), type=Converted)


def _start() -> Child:
    return Child("prodml_magics.registry.converters.child")


def _pickle(verb: str, arguments: tuple[Any, ...]) -> bytes | None:
    import cloudpickle  # type: ignore[import-untyped]

    try:
        return cloudpickle.dumps((verb, arguments))
    except (TypeError, ValueError, AttributeError, pickle.PicklingError):
        return None
