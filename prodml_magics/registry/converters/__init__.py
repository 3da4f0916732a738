"""Models of each family to ONNX files: one row of the table for each family, one file for each converter."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NamedTuple

import msgspec

from prodml_magics.contract.schema import Column
from prodml_magics.errors import InvalidInput, Unsupported
from prodml_magics.inference.process import Child, ChildFailed, ChildTimeout
from prodml_magics.registry.converters.messages import Converted
from prodml_magics.registry.layout import Precision

__all__ = ["CONVERSION_TIMEOUT_S", "FAMILIES", "ChildConverter", "Family", "family_of"]

CONVERSION_TIMEOUT_S = 120.0
"""Seconds; two known conversions never end, and the slowest useful one takes 7 s."""


class Family(NamedTuple):
    """A kind of model, known by the module of one of its base classes."""

    name: str
    modules: tuple[str, ...]
    supported: bool


FAMILIES = (
    Family("XGBoost", ("xgboost",), False),
    Family("LightGBM", ("lightgbm",), False),
    Family("CatBoost", ("catboost",), False),
    Family("PyTorch", ("torch",), False),
    Family("JAX", ("jax", "jaxlib", "flax", "equinox"), False),
    Family("TensorFlow", ("tensorflow", "keras"), False),
    Family("scikit-learn", ("sklearn",), True),
)
"""First match wins: XGBoost's estimators are scikit-learn's by inheritance."""


def family_of(model: Any) -> Family:
    """The family of `model`; raises `Unsupported` naming it when this release does not convert it."""
    if isinstance(model, type):
        raise InvalidInput(f"{model.__name__} is a class; register a fitted instance of it")
    modules = [base.__module__.partition(".")[0] for base in type(model).__mro__]
    found = next((family for family in FAMILIES if any(module in family.modules for module in modules)), None)
    if found is not None and found.supported:
        _check_parts(model)
        return found
    name = f"{type(model).__module__}.{type(model).__name__}"
    what = (
        f"{name} is {'an' if found.name[0] in 'X' else 'a'} {found.name} model"
        if found
        else f"{name} is a plain function"
        if callable(model)
        else f"{name} is no model"
    )
    raise Unsupported(f"{what}; this release registers scikit-learn models and .onnx files")


class ChildConverter:
    """Converts in child processes, the first of them started at once: each takes 2 s to load what it needs.

    Use it in a ``with`` block, which leaves no process behind. With `keep_ready` the next process is started as soon as one
    is used, for callers that register again and again; it ends by itself when this process does.
    """

    def __init__(self, timeout_s: float = CONVERSION_TIMEOUT_S, *, keep_ready: bool = False) -> None:
        self._timeout_s, self._keep_ready = timeout_s, keep_ready
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
        """The ONNX file of a fitted scikit-learn model, see `converters.sklearn.convert_sklearn_model`.

        A model that cannot be pickled (an open file among its attributes, say) is converted in this process, without a
        limit. Raises `Unsupported` for what ONNX cannot express, and for a conversion that takes longer than the limit.
        """
        message = _pickle("convert", (model, tuple(columns), precision))
        if message is None:
            from prodml_magics.registry.converters.sklearn import convert_sklearn_model

            return convert_sklearn_model(model, columns, precision)
        try:
            answer = self._ask(message)
        except ChildTimeout as error:
            name = type(model).__name__
            raise Unsupported(
                f"converting {name} took longer than {self._timeout_s:g} s and was ended; use a simpler model"
            ) from error
        except ChildFailed as error:
            raise Unsupported(f"converting {type(model).__name__} failed: {error}; use another kind of model") from error
        if answer.unsupported:
            raise Unsupported(answer.unsupported)
        return answer.model

    def blame(self, model: Any, rows: Any) -> list[str]:
        """The steps of `model` that are wrong alone, see `converters.blame`; empty when that cannot be told."""
        message = _pickle("blame", (model, rows))
        if message is None:
            return []
        try:
            return self._ask(message).faults
        except (ChildTimeout, ChildFailed):
            return []  # it only explains a refusal that stands

    def _ask(self, message: bytes) -> Converted:
        child, self._ready = self._ready or _start(), _start() if self._keep_ready else None
        with child:
            return msgspec.msgpack.decode(child.ask(message, self._timeout_s), type=Converted)


def _start() -> Child:
    return Child("prodml_magics.registry.converters.child")


def _pickle(verb: str, arguments: tuple[Any, ...]) -> bytes | None:
    import cloudpickle  # type: ignore[import-untyped]

    try:
        return cloudpickle.dumps((verb, arguments))
    except (TypeError, ValueError, AttributeError, pickle.PicklingError):
        return None


def _check_parts(model: Any) -> None:
    """Refuse a pipeline with a model of another family in it, by name."""
    from prodml_magics.registry.roles import nested

    for part in nested(model):
        modules = [base.__module__.partition(".")[0] for base in type(part).__mro__]
        other = next((f for f in FAMILIES if not f.supported and any(m in f.modules for m in modules)), None)
        if other is not None:
            name = type(part).__name__
            raise Unsupported(
                f"the model holds {name} of {other.name}; this release registers scikit-learn models and .onnx files"
            )
