from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as oracle

from prodml_magics.contract.schema import Contract
from prodml_magics.registry.metrics import classification_metrics, regression_metrics


def contract(*classes) -> Contract:
    return Contract(task="classification", columns=(), inputs=(), outputs=(), classes=classes)


def answers(classes, probabilities):
    best = np.asarray(classes)[probabilities.argmax(axis=1)]
    return {"label": best.astype(object) if best.dtype.kind == "U" else best, "probabilities": probabilities.astype(np.float32)}


@pytest.mark.parametrize("classes", [(0, 1, 2), ("z", "a", "m"), (10, 9, 2)])
def test_three_classes_in_any_order_agree_with_scikit_learn(classes):
    generator = np.random.default_rng(0)
    target = generator.choice(classes, 200)
    probabilities = generator.dirichlet([1, 1, 1], 200)
    found = classification_metrics(contract(*classes), answers(classes, probabilities), target)
    order = np.argsort(np.asarray(classes))
    labels, ordered = np.asarray(classes)[order], probabilities[:, order]
    assert found["accuracy"] == oracle.accuracy_score(target, labels[ordered.argmax(axis=1)])
    assert found["log_loss"] == pytest.approx(oracle.log_loss(target, ordered, labels=labels), abs=1e-5)
    assert found["roc_auc"] == pytest.approx(oracle.roc_auc_score(target, ordered, multi_class="ovr", labels=labels), abs=1e-5)


def test_a_class_that_the_model_does_not_know_counts_as_wrong():
    given = answers((0, 1), np.array([[0.9, 0.1], [0.2, 0.8]]))
    found = classification_metrics(contract(0, 1), given, np.array([0, 7]))
    assert found["accuracy"] == 0.5
    assert "log_loss" not in found


def test_one_class_among_the_test_rows_has_no_roc():
    given = answers((0, 1), np.array([[0.9, 0.1], [0.8, 0.2]]))
    found = classification_metrics(contract(0, 1), given, np.array([0, 0]))
    assert found["accuracy"] == 1
    assert "roc_auc" not in found
    assert found["log_loss"] > 0


def test_booleans_and_whole_floats_are_the_labels_that_they_mean():
    given = answers((0, 1), np.array([[0.9, 0.1], [0.2, 0.8]]))
    for target in (np.array([False, True]), np.array([0.0, 1.0])):
        assert classification_metrics(contract(0, 1), given, target)["accuracy"] == 1


def test_regression_agrees_with_scikit_learn():
    target, given = np.array([1.0, 2, 4]), np.array([1.5, 2, 3], np.float32)
    found = regression_metrics(given, target)
    assert found == {
        "rmse": pytest.approx(oracle.root_mean_squared_error(target, given)),
        "mae": pytest.approx(0.5),
        "r2": pytest.approx(oracle.r2_score(target, given)),
    }
    assert "r2" not in regression_metrics(given[:1], target[:1])
