"""JAX functions to ONNX: traced once with a free batch axis, then written primitive by primitive.

What `jax.make_jaxpr` gives is a list of equations; the tables of `primitives` say how each is written. One that is in no table is
refused by its name. Parameters that the function holds become constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from prodml_magics.errors import Unsupported, first_line
from prodml_magics.registry.converters.network import Network, declare_outputs
from prodml_magics.registry.converters.primitives import ELEMENTWISE, PRIMITIVES
from prodml_magics.registry.converters.traced import Traced

__all__ = ["convert_network", "open_network", "run_network"]

_CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")
_INLINED = frozenset(
    {
        "checkpoint",
        "closed_call",
        "core_call",
        "custom_jvp_call",
        "custom_vjp_call",
        "custom_vjp_call_jaxpr",
        "jit",
        "pjit",
        "remat",
        "remat2",
    }
)


def open_network(model: Any) -> Network:
    """`model` as a function of one array: a jitted function, a module that can be called, or (function, parameters)."""
    function, *parameters = model if isinstance(model, tuple) else (model,)
    named = getattr(function, "__name__", None) or type(function).__name__
    return Network("jaxpr", str(named).strip("<>"), partial(function, *parameters), (), "float32", "float32", seen_whole="int32")


def run_network(function: Any, array: np.ndarray) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Names and values of the arrays that `function` returns for `array`."""
    import jax

    found, _ = jax.tree_util.tree_flatten_with_path(function(jax.numpy.asarray(array)))
    if len(found) == 1 and not found[0][0]:
        return ("output",), [np.asarray(found[0][1])]
    names = tuple(jax.tree_util.keystr(path, simple=True, separator="_") for path, _ in found)
    return tuple(f"output_{name}" if name.isdigit() else name for name in names), [np.asarray(value) for _, value in found]


def convert_network(network: Network) -> bytes:
    """The ONNX file of a JAX function; raises `Unsupported` naming the primitive that has no form."""
    import jax
    from jax import export

    (batch,) = export.symbolic_shape("batch")
    spec = jax.ShapeDtypeStruct((batch, *network.shape), network.seen)
    try:
        closed, answer = jax.make_jaxpr(network.function, return_shape=True)(spec)
    except Exception as error:  # whatever a user's function raises while it is traced
        raise Unsupported(
            f"{network.name} cannot be traced with a free number of rows: {first_line(error)}; let no code look at the number of rows"
        ) from error
    graph = Traced(batch)
    given = graph.cast("input", network.seen) if np.dtype(network.dtype) != np.dtype(network.seen) else "input"
    found = _walk(graph, closed.jaxpr, [graph.constant(_array(each)) for each in closed.consts], [given])
    leaves = jax.tree_util.tree_leaves(answer)
    outputs = [
        (graph.full(name, leaf.shape), np.dtype(leaf.dtype), leaf.shape[1:]) for name, leaf in zip(found, leaves, strict=True)
    ]
    declared = declare_outputs(graph, network, outputs)
    inputs = [("input", network.dtype, [None, *network.shape])]
    return bytes(graph.model(network.name, inputs, declared).SerializeToString())


def _walk(graph: Traced, jaxpr: Any, constants: Sequence[str], inputs: Sequence[str]) -> list[str]:
    """Write the equations of `jaxpr`; returns the names of its results."""
    names = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*constants, *inputs), strict=True))

    def read(atom: Any) -> str:
        return graph.constant(np.asarray(atom.val, atom.aval.dtype)) if hasattr(atom, "val") else names[atom]

    for equation in jaxpr.eqns:
        operands = [read(atom) for atom in equation.invars]
        found = _call(graph, equation, operands) if equation.primitive.name in _INLINED else _write(graph, equation, operands)
        names.update(zip(equation.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _call(graph: Traced, equation: Any, operands: list[str]) -> list[str]:
    inner = next(equation.params[key] for key in _CALLS if key in equation.params)
    jaxpr, constants = (inner.jaxpr, inner.consts) if hasattr(inner, "consts") else (inner, ())
    return _walk(graph, jaxpr, [graph.constant(_array(each)) for each in constants], operands)


def _write(graph: Traced, equation: Any, operands: list[str]) -> list[str]:
    name = equation.primitive.name
    shapes = [atom.aval.shape for atom in equation.invars]
    if name in ELEMENTWISE:
        wanted = equation.outvars[0].aval.shape
        if wanted and not any(s == wanted and not graph.is_lazy(o) for s, o in zip(shapes, operands, strict=True)):
            operands = [graph.full(operand, shape) for operand, shape in zip(operands, shapes, strict=True)]
        return [ELEMENTWISE[name](graph, equation, operands)]
    if name not in PRIMITIVES:
        raise Unsupported(f"the JAX primitive {name!r} has no ONNX form here; write the function without it")
    found = PRIMITIVES[name](graph, equation, [graph.full(o, shape) for o, shape in zip(operands, shapes, strict=True)])
    return [found] if isinstance(found, str) else found


def _array(value: Any) -> np.ndarray:
    return np.asarray(value)
