"""What a scikit-learn model answers, and the checks that need no data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from prodml_magics.errors import InvalidInput, Unsupported

__all__ = ["Role", "check_fitted", "class_labels", "is_fitted", "is_holder", "nested", "reference_answers", "role_of", "unwrap"]

_HOLDERS = ("_CalibratedClassifier",)
"""Classes of scikit-learn that hold fitted estimators and are none themselves."""

Role = Literal["classifier", "regressor", "outlier", "clusterer"]


def unwrap(model: Any) -> Any:
    """The estimator that answers: a search (GridSearchCV and the like) answers with its best one."""
    best = getattr(model, "best_estimator_", None)
    return model if best is None else unwrap(best)


def role_of(model: Any) -> Role:
    """What `model` is; raises `Unsupported` for a transformer, which predicts nothing."""
    from sklearn.base import is_classifier, is_clusterer, is_outlier_detector, is_regressor

    if is_classifier(model):
        return "classifier"
    if is_regressor(model):
        return "regressor"
    if is_outlier_detector(model):
        return "outlier"
    if is_clusterer(model) or hasattr(model, "predict"):
        return "clusterer"
    raise Unsupported(
        f"{type(model).__name__} has no predict; register a model that predicts, with this as a step of its pipeline"
    )


def check_fitted(model: Any) -> None:
    """Raise `InvalidInput` in one line when `model` was not fitted."""
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise InvalidInput(f"{type(model).__name__} is not fitted yet; call fit before registering it") from error
    except TypeError as error:
        raise InvalidInput(f"{type(model).__name__} is no model that can be fitted; register a fitted estimator") from error


def class_labels(model: Any) -> tuple[str | int, ...]:
    """Labels in the order of the probabilities; booleans as 0 and 1, for the wire has no other form of them here."""
    if isinstance(model.classes_, list) or getattr(model, "multilabel_", False):
        raise Unsupported(f"{type(model).__name__} predicts several targets at once; register one classifier for each")
    labels = np.asarray(model.classes_)
    if labels.dtype.kind in "OUS":
        return tuple(str(label) for label in labels.tolist())
    if not np.array_equal(labels, labels.astype(np.int64)):
        raise Unsupported(f"class labels {labels.tolist()[:5]} are fractions, which ONNX cannot express; use integers or text")
    return tuple(int(label) for label in labels)


def reference_answers(model: Any, role: Role, rows: Any) -> dict[str, np.ndarray]:
    """scikit-learn's own answers under the names of our outputs; its exceptions pass through."""
    if role == "regressor":
        return {"prediction": np.asarray(model.predict(rows), np.float64)}
    labels = np.asarray(model.predict(rows))
    if labels.ndim == 2 and labels.shape[1] == 1:  # CatBoost's, of several classes
        labels = labels[:, 0]
    answers = {"label": labels.astype(object) if labels.dtype.kind in "OUS" else labels.astype(np.int64)}
    if role == "classifier" and hasattr(model, "predict_proba"):
        answers["probabilities"] = np.asarray(model.predict_proba(rows), np.float64)
    if role == "outlier":
        answers["scores"] = np.asarray(model.decision_function(rows), np.float64)
    return answers


def is_fitted(part: Any) -> bool:
    """False for what a wrapper was given and has cloned, even where its first steps are fitted."""
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(part)
    except NotFittedError:
        return False
    return True


def is_holder(value: Any) -> bool:
    """Whether `value` holds fitted estimators among its attributes, and is none itself."""
    return type(value).__name__ in _HOLDERS


def nested(model: Any) -> Iterator[Any]:
    """`model` and every estimator inside it, fitted or not, each once."""
    yield from _nested(model, set())


def _nested(value: Any, seen: set[int]) -> Iterator[Any]:
    if id(value) in seen:
        return
    if hasattr(value, "get_params") and not isinstance(value, type):
        seen.add(id(value))
        yield value
        for attribute in getattr(value, "__dict__", {}).values():
            yield from _nested(attribute, seen)
    elif isinstance(value, dict) or is_holder(value):
        for member in (value if isinstance(value, dict) else vars(value)).values():
            yield from _nested(member, seen)
    elif isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.dtype == object):
        for member in value:
            yield from _nested(member, seen)
