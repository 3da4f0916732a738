"""Models of each family to ONNX files: one row of the table in `families` for each, one file for each converter."""

from __future__ import annotations

import atexit
import pickle
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from types import TracebackType
from typing import Any

import msgspec
import numpy as np

from prodml_magics.contract.schema import Column
from prodml_magics.errors import Unsupported
from prodml_magics.inference.forks import Forks
from prodml_magics.inference.process import ChildFailed, ChildTimeout
from prodml_magics.inference.smoke import smoke_run
from prodml_magics.registry.converters.families import FAMILIES, Family, family_of
from prodml_magics.registry.converters.messages import RUN, Converted
from prodml_magics.registry.converters.network import Network
from prodml_magics.registry.layout import Precision

__all__ = ["CONVERSION_TIMEOUT_S", "FAMILIES", "ChildConverter", "Family", "family_of", "shared_converter"]

CONVERSION_TIMEOUT_S = 120.0
"""Seconds; two known conversions never end, and the slowest useful one takes 7 s."""
RUN_TIMEOUT_S = 120.0
"""Seconds, because 20,000 test rows of a nearest-neighbour model take 40."""


class ChildConverter:
    """Converts in forks of a process that is started by `start`, or the first conversion, and takes 4 s to load what they need.

    Use it in a ``with`` block, or close it, which leaves no process behind; it ends with this process in any case.
    """

    def __init__(self, timeout_s: float = CONVERSION_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self.meanwhile: Callable[[], None] | None = None
        """What this process does, once, while the next conversion runs in the other one: it would only wait."""
        self._forks = Forks("prodml_magics.registry.converters.child")

    def __enter__(self) -> ChildConverter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        """Start that process, for a conversion that is to come."""
        self._forks.start()

    def close(self) -> None:
        """End that process; the next conversion starts another."""
        self._forks.close()

    def run(self, model: bytes, batches: Sequence[Mapping[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
        """Load a file and run batches in a fork, as `inference.smoke.smoke_run` does in a process of its own."""
        return smoke_run(model, batches, timeout_s=RUN_TIMEOUT_S, ask=lambda ask, limit: self._forks.ask(RUN + ask, limit))

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
            where, what = (f" in {error.at}", "step there") if error.at else ("", "model")
            raise Unsupported(
                f"converting {name} took longer than {self._timeout_s:g} s and was ended{where}; use a simpler {what}"
            ) from error
        except ChildFailed as error:
            raise Unsupported(f"converting {name} failed: {error}; use another kind of model") from error
        if answer.unsupported:
            raise Unsupported(answer.unsupported)
        return answer.model

    def _ask(self, message: bytes) -> Converted:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is None:
            return self._asked(message)
        with ThreadPoolExecutor(1) as waiting:
            answer = waiting.submit(self._asked, message)
            try:
                meanwhile()
                return answer.result()
            except BaseException:
                self.close()  # which ends the thread that waits
                raise

    def _asked(self, message: bytes) -> Converted:
        return msgspec.msgpack.decode(self._forks.ask(message, self._timeout_s), type=Converted)


@cache
def shared_converter() -> ChildConverter:
    """The converter of this process, whose own one stays ready for the next registration until this process ends."""
    converter = ChildConverter()
    atexit.register(converter.close)
    return converter


def _pickle(verb: str, arguments: tuple[Any, ...]) -> bytes | None:
    import cloudpickle  # type: ignore[import-untyped]

    try:
        return cloudpickle.dumps((verb, arguments))
    except (TypeError, ValueError, AttributeError, pickle.PicklingError):
        return None
