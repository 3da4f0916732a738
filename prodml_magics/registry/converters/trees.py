"""Decision trees as arrays, and as the attributes of ONNX's ``TreeEnsemble`` (ai.onnx.ml 5) in double.

skl2onnx writes thresholds in float32, which moves rows across splits, and drops the side that missing values take.
Here each threshold keeps all its bits and each split its side for NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

__all__ = ["LESS", "LESS_OR_EQUAL", "MEMBER", "Tree", "ensemble_attributes", "of_histogram", "of_tree"]

LESS_OR_EQUAL, LESS, MEMBER = 0, 1, 6
"""Numbers of the operator's modes of a split."""
_SUM = 1


class Tree(NamedTuple):
    """One tree: arrays over its nodes, root first. Rows with `feature` <= `threshold` go `left`.

    With `less` those strictly below it do. Nodes in `members` send the values listed there left instead.
    """

    leaf: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    missing_left: np.ndarray
    value: np.ndarray
    less: bool = False
    members: Mapping[int, Sequence[float]] = MappingProxyType({})


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


def of_histogram(predictor: Any, columns: np.ndarray, categories: Sequence[np.ndarray]) -> Tree:
    """A tree of a histogram gradient boosting model: its features are `columns`, the first of them those of `categories`."""
    nodes = predictor.nodes
    members = {node: _listed(predictor, nodes[node], categories) for node in np.flatnonzero(nodes["is_categorical"]).tolist()}
    nobody = np.isin(np.arange(len(nodes)), [node for node, listed in members.items() if not listed])
    return Tree(
        leaf=nodes["is_leaf"].astype(bool),
        feature=columns[nodes["feature_idx"]],
        threshold=np.where(nobody, -np.inf, nodes["num_threshold"]),
        left=nodes["left"].astype(np.int64),
        right=nodes["right"].astype(np.int64),
        missing_left=nodes["missing_go_to_left"].astype(bool),
        value=nodes["value"],
        members={node: listed for node, listed in members.items() if listed},
    )


def _listed(predictor: Any, node: Any, categories: Sequence[np.ndarray]) -> list[float]:
    """The categories that a split sends left; their codes are the bits of eight words."""
    known = categories[node["feature_idx"]]
    words = np.ascontiguousarray(predictor.raw_left_cat_bitsets[node["bitset_idx"]])
    bits = np.unpackbits(words.view(np.uint8), bitorder="little")
    listed: list[float] = known[np.flatnonzero(bits[: len(known)])].tolist()
    return listed


def ensemble_attributes(
    trees: Sequence[Tree], targets: Sequence[int], n_targets: int, dtype: type[np.floating[Any]] = np.float64
) -> dict[str, Any]:
    """Attributes of one ``TreeEnsemble`` that sums the leaves of `trees`, in their order, into their `targets`.

    `dtype` is that of its rows, thresholds, leaves and sums.
    """
    from onnx import numpy_helper

    nodes = [_nodes(tree) for tree in trees]
    starts = np.cumsum([0, *(len(node["splits"]) for node in nodes)])
    leaf_starts = np.cumsum([0, *(len(node["weights"]) for node in nodes)])
    shifted = [_shift(node, int(s), int(w)) for node, s, w in zip(nodes, starts, leaf_starts, strict=False)]
    joined = {key: np.concatenate([node[key] for node in shifted]) for key in shifted[0]}
    target_ids = np.concatenate([np.full(len(node["weights"]), target) for node, target in zip(nodes, targets, strict=True)])
    attributes = {
        "aggregate_function": _SUM,
        "n_targets": n_targets,
        "tree_roots": starts[:-1].tolist(),
        "nodes_featureids": joined["features"].tolist(),
        "nodes_splits": numpy_helper.from_array(joined["splits"].astype(dtype)),
        "nodes_modes": numpy_helper.from_array(joined["modes"]),
        "nodes_missing_value_tracks_true": joined["missing"].tolist(),
        "nodes_truenodeids": joined["true"].tolist(),
        "nodes_falsenodeids": joined["false"].tolist(),
        "nodes_trueleafs": joined["true_leaf"].tolist(),
        "nodes_falseleafs": joined["false_leaf"].tolist(),
        "leaf_targetids": target_ids.tolist(),
        "leaf_weights": numpy_helper.from_array(joined["weights"].astype(dtype)),
    }
    if len(joined["members"]):
        attributes["membership_values"] = numpy_helper.from_array(joined["members"].astype(dtype))
    return attributes


def _nodes(tree: Tree) -> dict[str, np.ndarray]:
    """The tree with inner nodes and leaves numbered apart, as the operator wants them."""
    inner = np.flatnonzero(~tree.leaf)
    if not len(inner):  # a tree of one leaf: one node whose both sides are that leaf
        zero, one = np.zeros(1, np.int64), np.ones(1, np.int64)
        single = {"features": zero, "missing": zero, "true": zero, "false": zero, "true_leaf": one, "false_leaf": one}
        modes = np.full(1, LESS_OR_EQUAL, np.uint8)
        return {**single, "splits": np.zeros(1), "weights": tree.value[:1], "modes": modes, "members": np.zeros(0)}
    number = np.where(tree.leaf, np.cumsum(tree.leaf) - 1, np.cumsum(~tree.leaf) - 1)
    left, right = tree.left[inner], tree.right[inner]
    ordinary = LESS if tree.less else LESS_OR_EQUAL
    return {
        "features": tree.feature[inner],
        "splits": tree.threshold[inner].astype(np.float64),
        "missing": tree.missing_left[inner].astype(np.int64),
        "true": number[left],
        "false": number[right],
        "true_leaf": tree.leaf[left].astype(np.int64),
        "false_leaf": tree.leaf[right].astype(np.int64),
        "weights": tree.value[tree.leaf],
        "modes": np.array([MEMBER if node in tree.members else ordinary for node in inner.tolist()], np.uint8),
        "members": _members(tree, inner),
    }


def _members(tree: Tree, inner: np.ndarray) -> np.ndarray:
    """The values of each node in `members`, in the order of the nodes, each list ended by NaN."""
    lists = [[*tree.members[node], np.nan] for node in inner.tolist() if node in tree.members]
    return np.concatenate(lists) if lists else np.zeros(0)


def _shift(node: dict[str, np.ndarray], start: int, leaf_start: int) -> dict[str, np.ndarray]:
    """Numbers within the tree as numbers within the ensemble."""
    true = node["true"] + np.where(node["true_leaf"], leaf_start, start)
    false = node["false"] + np.where(node["false_leaf"], leaf_start, start)
    return {**node, "true": true, "false": false}
