"""How well a version does on the test rows, and which columns it lives on."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from prodml_magics.contract.encode import tensor_columns
from prodml_magics.contract.schema import Contract
from prodml_magics.inference.runner import Runner
from prodml_magics.registry.probes import sample_rows

__all__ = ["classification_metrics", "permutation_importance", "regression_metrics", "test_metrics"]

_IMPORTANCE_ROWS = 2_000
_REPEATS = 5
Tensors = Mapping[str, np.ndarray]


def test_metrics(contract: Contract, outputs: Tensors, target: np.ndarray) -> dict[str, float]:
    """Metrics of the task by their scikit-learn names; empty for a task without any."""
    if contract.task == "classification":
        return classification_metrics(contract, outputs, target)
    return regression_metrics(outputs["prediction"], target) if contract.task == "regression" else {}


def classification_metrics(contract: Contract, outputs: Tensors, target: np.ndarray) -> dict[str, float]:
    """accuracy, balanced_accuracy, f1_macro; with probabilities also log_loss and roc_auc (one against the rest).

    A class of the test rows that the model does not know counts as wrong; log_loss and roc_auc are then left out, as is
    roc_auc when a class is missing from the test rows.
    """
    from sklearn import metrics

    every, (wanted, given) = _codes(target, outputs["label"])  # scikit-learn is slow on text
    found = {
        "accuracy": float(metrics.accuracy_score(wanted, given)),
        "f1_macro": float(metrics.f1_score(wanted, given, average="macro", zero_division=0)),
    }
    with warnings.catch_warnings():
        # scikit-learn warns of predicted classes that the test rows lack; the number is right all the same
        warnings.simplefilter("ignore")
        found["balanced_accuracy"] = float(metrics.balanced_accuracy_score(wanted, given))
    classes = [str(label) for label in contract.classes]
    present = every[np.unique(wanted)]
    if "probabilities" in outputs and len(classes) > 1 and set(present) <= set(classes):
        found |= _probability_metrics(classes, every[wanted], outputs["probabilities"].astype(np.float64))
    return found


def regression_metrics(prediction: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """rmse and mae in units of the target, and r2 where there are two rows or more; several targets are averaged."""
    from sklearn import metrics

    given = prediction.astype(np.float64)
    found = {
        "rmse": float(metrics.root_mean_squared_error(target, given)),
        "mae": float(metrics.mean_absolute_error(target, given)),
    }
    return found | ({"r2": float(metrics.r2_score(target, given))} if len(target) > 1 else {})


def permutation_importance(
    session: Runner, contract: Contract, tensors: Tensors, target: np.ndarray, seed: int = 0
) -> dict[str, float]:
    """What each column adds: the loss of score when its values are shuffled, averaged over 5 shuffles.

    The score is accuracy, or r2 for regression, on at most 2,000 test rows (Breiman 2001; as scikit-learn's
    ``permutation_importance``). Empty without named columns.
    """
    if not contract.columns or contract.task == "other":
        return {}
    chosen = sample_rows({**tensors, "": target}, _IMPORTANCE_ROWS)
    wanted = chosen.pop("")
    generator = np.random.default_rng(seed)
    wanted = _texts(wanted) if contract.task == "classification" else wanted.astype(np.float64)
    full = _score(session, contract, chosen, wanted)
    found: dict[str, float] = {}
    for tensor in contract.inputs:
        for place, column in enumerate(tensor_columns(contract, tensor)):
            losses = [
                full - _score(session, contract, _shuffled(chosen, tensor.name, place, generator), wanted)
                for _ in range(_REPEATS)
            ]
            found[column.name] = float(np.mean(losses))
    return {column.name: found[column.name] for column in contract.columns}


def _score(session: Runner, contract: Contract, tensors: Tensors, target: np.ndarray) -> float:
    outputs = session.run(tensors)
    if contract.task == "classification":
        levels, codes = _levels(outputs["label"])
        return float(np.mean(levels[codes] == target))
    given = outputs["prediction"].astype(np.float64)
    spread = float(((target - target.mean(axis=0)) ** 2).sum())
    return 1.0 - float(((target - given) ** 2).sum()) / spread if spread else 0.0


def _shuffled(tensors: Tensors, name: str, place: int, generator: np.random.Generator) -> dict[str, np.ndarray]:
    table = tensors[name].copy()
    table[:, place] = generator.permutation(table[:, place])
    return {**tensors, name: table}


def _probability_metrics(classes: list[str], wanted: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    from sklearn import metrics

    order = np.argsort(classes)
    wanted, names = np.searchsorted(np.array(classes)[order], wanted), np.arange(len(classes))
    ordered = probabilities[:, order]
    ordered = ordered / ordered.sum(axis=1, keepdims=True)  # float32 rows sum to 1 up to 1e-7
    found = {"log_loss": float(metrics.log_loss(wanted, ordered, labels=names))}
    if len(set(wanted)) < len(names):
        return found
    if len(names) == 2:
        return found | {"roc_auc": float(metrics.roc_auc_score(wanted == names[1], ordered[:, 1]))}
    return found | {"roc_auc": float(metrics.roc_auc_score(wanted, ordered, multi_class="ovr", labels=names))}


def _codes(*sides: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The texts of all labels, ascending, and the place of each label among them, by side."""
    told = [_levels(side) for side in sides]
    every = np.unique(np.concatenate([levels for levels, _ in told]))
    return every, [np.searchsorted(every, levels)[codes] for levels, codes in told]


def _levels(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Texts of which each label is one, and the place of each label's; each distinct number is spelled once."""
    distinct, codes = np.unique(labels, return_inverse=True) if labels.dtype.kind in "biuU" else (labels, np.arange(len(labels)))
    return _texts(distinct), codes


def _texts(labels: np.ndarray) -> np.ndarray:
    """Labels as text, booleans as 0 and 1, so that the wire's labels and the user's compare."""
    values = labels.astype(np.int64) if labels.dtype.kind == "b" else labels
    if values.dtype.kind == "f" and np.array_equal(values, np.trunc(values)):
        values = values.astype(np.int64)
    return (
        values.astype(str)
        if values.dtype.kind in "iuU" and values.ndim == 1
        else np.array([str(value) for value in values.tolist()])
    )
