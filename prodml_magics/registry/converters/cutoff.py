"""Classifiers that give one of two labels from a threshold of their own on: the label is made anew from the probability."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

__all__ = ["Cutoff", "cutoff_of", "label_by"]

_WRAPPERS = ("FixedThresholdClassifier", "TunedThresholdClassifierCV")


class Cutoff(NamedTuple):
    """`model` gives probabilities; the class at `place` among `classes` is the label where its own reaches `threshold`."""

    model: Any
    threshold: float
    place: int
    classes: np.ndarray


def cutoff_of(model: Any) -> Cutoff | None:
    """The cutoff that `model` puts on the probabilities of the one inside it; None for what is not of this kind."""
    if type(model).__name__ not in _WRAPPERS or model.response_method not in ("auto", "predict_proba"):
        return None
    inner = getattr(model, "estimator_", model.estimator)  # FixedThresholdClassifier may be given one that is fitted
    if not hasattr(inner, "predict_proba"):
        return None
    tuned = getattr(model, "best_threshold_", None)
    given = getattr(model, "threshold", 0.5) if tuned is None else tuned
    return Cutoff(inner, 0.5 if given == "auto" else float(given), _place(model), np.asarray(model.classes_))


def _place(model: Any) -> int:
    """Of the positive class: the one named by the wrapper, or by its scorer, else the second."""
    named = getattr(model, "pos_label", None)
    if named is None:
        scorer: Any = getattr(model, "_curve_scorer", None)
        named = None if scorer is None else scorer._get_pos_label()
    return 1 if named is None else int(np.flatnonzero(np.asarray(model.classes_) == named)[0])


def label_by(graph: Any, cutoff: Cutoff) -> None:
    """Put the label of `cutoff` in the place of the output ``label`` of a finished graph, in place."""
    from onnx import helper, numpy_helper

    nodes = graph.graph
    for node in nodes.node:
        node.output[:] = ["label:other" if output == "label" else output for output in node.output]
    text = cutoff.classes.dtype.kind in "OUS"
    levels = cutoff.classes.astype(object) if text else cutoff.classes.astype(np.int64)
    constants = {
        "place": np.array(cutoff.place, np.int64),
        "threshold": np.array(cutoff.threshold),
        "positive": np.array([levels[cutoff.place]], levels.dtype),
        "negative": np.array([levels[1 - cutoff.place]], levels.dtype),
    }
    nodes.initializer.extend(numpy_helper.from_array(value, f"cutoff:{name}") for name, value in constants.items())
    nodes.node.extend(
        [
            helper.make_node("Gather", ["probabilities", "cutoff:place"], ["cutoff:one"], axis=1),
            helper.make_node("Cast", ["cutoff:one"], ["cutoff:probability"], to=11),
            helper.make_node("GreaterOrEqual", ["cutoff:probability", "cutoff:threshold"], ["cutoff:reached"]),
            helper.make_node("Where", ["cutoff:reached", "cutoff:positive", "cutoff:negative"], ["label"]),
        ]
    )
