"""A network over one array, of PyTorch or JAX, as its converter gets it; and its outputs under our names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from prodml_magics.registry.converters.written import Written

__all__ = ["Meaning", "Network", "answers_of", "declare_outputs"]

Meaning = Literal["prediction", "predictions", "probabilities", "probability", "scores", "score", "other"]
"""What the one output is: a number or several for each row; probabilities [rows, classes], or that of the second of two classes;
scores that a softmax, or a logistic function, makes into these. `other`: any number of outputs, under names of their own."""


class Network(NamedTuple):
    """`function` of one array [rows, *shape], which has `dtype` on the wire and `seen` where the function gets it."""

    family: str
    name: str
    function: Callable[[Any], Any]
    shape: tuple[int, ...]
    dtype: str
    seen: str
    meaning: Meaning = "other"
    names: tuple[str, ...] = ("output",)
    seen_whole: str = "int64"
    """What it gets where whole numbers are sent."""


def answers_of(network: Network, outputs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs of a run under our names, as `declare_outputs` has the graph give them."""
    meaning = network.meaning
    if meaning == "other":
        return dict(zip(network.names, outputs, strict=True))
    only = np.asarray(outputs[0])
    rows = len(only)
    if meaning in ("prediction", "predictions"):
        return {"prediction": only.reshape(rows) if meaning == "prediction" else only.reshape(rows, -1)}
    table = only.reshape(rows, -1)
    if meaning == "score":
        table = 1 / (1 + np.exp(-table.astype(np.float64)))
    elif meaning == "scores":
        powers = np.exp(table.astype(np.float64) - table.max(axis=1, keepdims=True))
        table = powers / powers.sum(axis=1, keepdims=True)
    if meaning in ("score", "probability"):
        table = np.hstack([1 - table, table])
    return {"label": table.argmax(axis=1), "probabilities": table}


def declare_outputs(graph: Written, network: Network, outputs: Sequence[tuple[str, np.dtype, Sequence[int]]]) -> list[Any]:
    """Write what follows the function; `outputs` are name, dtype and shape [*] of a row of what it returns.

    Returns name, dtype and shape of the outputs of the file.
    """
    if network.meaning == "other":
        for name, (made, _, _) in zip(network.names, outputs, strict=True):
            graph.node("Identity", [made], output=name)
        return [(name, dtype, [None, *shape]) for name, (_, dtype, shape) in zip(network.names, outputs, strict=True)]
    made, dtype, shape = outputs[0]
    width = int(np.prod(shape)) if shape else 1
    if network.meaning in ("prediction", "predictions"):
        flat = [-1] if network.meaning == "prediction" else [0, width]
        graph.node("Reshape", [made, graph.constant(np.array(flat, np.int64))], output="prediction")
        return [("prediction", dtype, [None] if network.meaning == "prediction" else [None, width])]
    table = graph.node("Reshape", [made, graph.constant(np.array([0, width], np.int64))])
    if network.meaning in ("score", "probability"):
        second = graph.node("Sigmoid", [table]) if network.meaning == "score" else table
        first = graph.node("Sub", [graph.constant(np.array(1, dtype)), second])
        graph.node("Concat", [first, second], output="probabilities", axis=1)
        width = 2
    else:
        graph.node("Softmax" if network.meaning == "scores" else "Identity", [table], output="probabilities")
    graph.node("ArgMax", ["probabilities"], output="label", axis=1, keepdims=0)
    return [("label", np.dtype(np.int64), [None]), ("probabilities", dtype, [None, width])]
