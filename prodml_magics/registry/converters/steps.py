"""Which step of a model skl2onnx is at, told while it is: who waits for a conversion can then say where it stuck."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prodml_magics.registry.roles import nested

__all__ = ["step_of", "tell_steps"]


def tell_steps(note: Callable[[str], None]) -> None:
    """From now on tell `note` of each step that skl2onnx begins, and of none ("") once all of them are done and the graph is put
    together; for a process that ends thereafter.
    """
    from skl2onnx.common._topology import Topology

    def begin(topology: Any, operator: Any) -> None:
        note(step_of(topology.raw_model.raw_model, operator.raw_operator))

    for method in ("call_shape_calculator", "call_converter"):
        setattr(Topology, method, _after(begin, getattr(Topology, method)))
    every = Topology.convert_operators

    def convert_operators(topology: Any, *arguments: Any, **named: Any) -> Any:
        found = every(topology, *arguments, **named)
        note("")
        return found

    Topology.convert_operators = convert_operators


def _after(begin: Callable[[Any, Any], None], call: Callable[..., Any]) -> Callable[..., Any]:
    def told(topology: Any, operator: Any, *arguments: Any, **named: Any) -> Any:
        begin(topology, operator)
        return call(topology, operator, *arguments, **named)

    return told


def step_of(model: Any, part: Any) -> str:
    """The innermost step with a name that is or holds `part`, an estimator in `model`; without one what `part` is."""
    found = type(part).__name__
    for holder in nested(model):
        for name, step in _named(holder):
            if any(inner is part for inner in nested(step)):
                found = f"step {name!r} ({type(step).__name__})"
    return found


def _named(holder: Any) -> Iterator[tuple[str, Any]]:
    """The parts that the user, or scikit-learn for them, gave names."""
    yield from getattr(holder, "steps", ())
    yield from getattr(holder, "transformer_list", ())
    yield from ((name, step) for name, step, *_ in getattr(holder, "transformers_", ()))
    yield from getattr(holder, "named_estimators_", {}).items()
