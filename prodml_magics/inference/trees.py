"""Ensembles of trees whose nodes must point at columns and nodes that are there: `onnx.checker` looks at none of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from prodml_magics.errors import GateRefused

__all__ = ["check_trees"]

_BY_NAME = ("TreeEnsembleRegressor", "TreeEnsembleClassifier")
_BY_PLACE = "TreeEnsemble"
_LEAF = b"LEAF"


def check_trees(model: Any) -> None:
    """Raise `GateRefused` for a node that asks for a column, or goes on to a node, that there is not."""
    import onnx

    nodes = [node for node in model.graph.node if node.op_type in (*_BY_NAME, _BY_PLACE)]
    widths = _widths(onnx.shape_inference.infer_shapes(model).graph) if nodes else {}
    for node in nodes:
        given = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        columns = np.asarray(given.get("nodes_featureids", ()), np.int64)
        inner = np.ones(len(columns), np.bool_)
        if node.op_type == _BY_PLACE:
            _check_places(given)
        else:
            inner = _inner(given, len(columns))
            _check_names(given, inner)
        width = widths.get(node.input[0], np.iinfo(np.int64).max)
        wrong = columns[inner & ((columns < 0) | (columns >= width))]
        if len(wrong):
            raise GateRefused(f"a tree of the model asks for column {wrong[0]}, which there is not; export the model again")


def _widths(graph: Any) -> dict[str, int]:
    """Columns of each tensor [rows, columns] whose number is known."""
    found = {}
    for tensor in (*graph.input, *graph.value_info):
        dims = tensor.type.tensor_type.shape.dim
        if len(dims) == 2 and dims[1].dim_value > 0:
            found[tensor.name] = dims[1].dim_value
    return found


def _inner(given: Mapping[str, Any], nodes: int) -> np.ndarray:
    """Which nodes are no leaves."""
    modes = given.get("nodes_modes", ())
    for name in ("nodes_treeids", "nodes_nodeids", "nodes_modes", "nodes_truenodeids", "nodes_falsenodeids"):
        if len(given.get(name, ())) != nodes:
            raise GateRefused(f"{name} of a tree does not name its {nodes} nodes; export the model again")
    return np.array([mode != _LEAF for mode in modes], np.bool_)


def _check_names(given: Mapping[str, Any], inner: np.ndarray) -> None:
    """Nodes are known by the numbers of their tree and their own."""
    trees, own = (np.asarray(given[name], np.int64) for name in ("nodes_treeids", "nodes_nodeids"))
    known = set(zip(trees.tolist(), own.tolist(), strict=True))
    for side in ("nodes_truenodeids", "nodes_falsenodeids"):
        children = np.asarray(given[side], np.int64)
        pairs = zip(trees[inner].tolist(), children[inner].tolist(), own[inner].tolist(), strict=True)
        for tree, child, parent in pairs:
            if (tree, child) not in known or child == parent:
                raise GateRefused(
                    f"node {parent} of tree {tree} goes on to {child}, which is no other node; export the model again"
                )


def _check_places(given: Mapping[str, Any]) -> None:
    """Nodes and leaves are known by their places in two lists."""
    nodes, leaves = len(given.get("nodes_featureids", ())), len(given.get("leaf_targetids", ()))
    for side in ("true", "false"):
        places = np.asarray(given.get(f"nodes_{side}nodeids", ()), np.int64)
        ends = np.asarray(given.get(f"nodes_{side}leafs", ()), np.int64)
        if len(places) != nodes or len(ends) != nodes:
            raise GateRefused(f"nodes_{side}nodeids of a tree does not name its {nodes} nodes; export the model again")
        wrong = places[(places < 0) | (places >= np.where(ends != 0, leaves, nodes))]
        if len(wrong):
            raise GateRefused(f"a tree of the model goes on to node {wrong[0]}, which there is not; export the model again")
    roots = np.asarray(given.get("tree_roots", ()), np.int64)
    if ((roots < 0) | (roots >= nodes)).any():
        raise GateRefused("a tree of the model begins at a node that there is not; export the model again")
