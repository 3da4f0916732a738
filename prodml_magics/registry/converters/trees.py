"""Decision trees as arrays, and as the attributes of ONNX's ``TreeEnsemble`` (ai.onnx.ml 5) in double.

skl2onnx writes thresholds in float32, which moves rows across splits, and drops the side that missing values take.
Here each threshold keeps all its bits and each split its side for NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Tree", "ensemble_attributes", "of_histogram", "of_tree"]

_LESS_OR_EQUAL, _SUM = 0, 1


class Tree(NamedTuple):
    """One tree: arrays over its nodes, root first. Rows with `feature` <= `threshold` go `left`."""

    leaf: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    missing_left: np.ndarray
    value: np.ndarray


def of_tree(tree: Any, output: int = 0) -> Tree:
    """A tree of scikit-learn's ``tree_``, its leaves holding column `output` of ``value`` (class share or mean)."""
    leaf = tree.children_left < 0
    return Tree(
        leaf=leaf,
        feature=np.where(leaf, 0, tree.feature),
        threshold=np.where(leaf, 0.0, tree.threshold),
        left=tree.children_left,
        right=tree.children_right,
        missing_left=tree.missing_go_to_left.astype(bool),
        value=tree.value[:, 0, output],
    )


def of_histogram(predictor: Any) -> Tree:
    """A tree of a histogram gradient boosting model without splits on categories."""
    nodes = predictor.nodes
    return Tree(
        leaf=nodes["is_leaf"].astype(bool),
        feature=nodes["feature_idx"],
        threshold=nodes["num_threshold"],
        left=nodes["left"].astype(np.int64),
        right=nodes["right"].astype(np.int64),
        missing_left=nodes["missing_go_to_left"].astype(bool),
        value=nodes["value"],
    )


def ensemble_attributes(trees: Sequence[Tree], targets: Sequence[int], n_targets: int) -> dict[str, Any]:
    """Attributes of one ``TreeEnsemble`` that sums the leaves of `trees`, in their order, into their `targets`."""
    from onnx import numpy_helper

    nodes = [_nodes(tree) for tree in trees]
    starts = np.cumsum([0, *(len(node["splits"]) for node in nodes)])
    leaf_starts = np.cumsum([0, *(len(node["weights"]) for node in nodes)])
    shifted = [_shift(node, int(s), int(w)) for node, s, w in zip(nodes, starts, leaf_starts, strict=False)]
    joined = {key: np.concatenate([node[key] for node in shifted]) for key in shifted[0]}
    target_ids = np.concatenate([np.full(len(node["weights"]), target) for node, target in zip(nodes, targets, strict=True)])
    return {
        "aggregate_function": _SUM,
        "n_targets": n_targets,
        "tree_roots": starts[:-1].tolist(),
        "nodes_featureids": joined["features"].tolist(),
        "nodes_splits": numpy_helper.from_array(joined["splits"]),
        "nodes_modes": numpy_helper.from_array(np.full(len(joined["splits"]), _LESS_OR_EQUAL, np.uint8)),
        "nodes_missing_value_tracks_true": joined["missing"].tolist(),
        "nodes_truenodeids": joined["true"].tolist(),
        "nodes_falsenodeids": joined["false"].tolist(),
        "nodes_trueleafs": joined["true_leaf"].tolist(),
        "nodes_falseleafs": joined["false_leaf"].tolist(),
        "leaf_targetids": target_ids.tolist(),
        "leaf_weights": numpy_helper.from_array(joined["weights"]),
    }


def _nodes(tree: Tree) -> dict[str, np.ndarray]:
    """The tree with inner nodes and leaves numbered apart, as the operator wants them."""
    inner = np.flatnonzero(~tree.leaf)
    if not len(inner):  # a tree of one leaf: one node whose both sides are that leaf
        zero, one = np.zeros(1, np.int64), np.ones(1, np.int64)
        single = {"features": zero, "missing": zero, "true": zero, "false": zero, "true_leaf": one, "false_leaf": one}
        return {**single, "splits": np.zeros(1), "weights": tree.value[:1].astype(np.float64)}
    number = np.where(tree.leaf, np.cumsum(tree.leaf) - 1, np.cumsum(~tree.leaf) - 1)
    left, right = tree.left[inner], tree.right[inner]
    return {
        "features": tree.feature[inner],
        "splits": tree.threshold[inner].astype(np.float64),
        "missing": tree.missing_left[inner].astype(np.int64),
        "true": number[left],
        "false": number[right],
        "true_leaf": tree.leaf[left].astype(np.int64),
        "false_leaf": tree.leaf[right].astype(np.int64),
        "weights": tree.value[tree.leaf].astype(np.float64),
    }


def _shift(node: dict[str, np.ndarray], start: int, leaf_start: int) -> dict[str, np.ndarray]:
    """Numbers within the tree as numbers within the ensemble."""
    true = node["true"] + np.where(node["true_leaf"], leaf_start, start)
    false = node["false"] + np.where(node["false_leaf"], leaf_start, start)
    return {**node, "true": true, "false": false}
