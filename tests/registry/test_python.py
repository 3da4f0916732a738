"""Trusted Python: what ONNX cannot express answers as it does here, or is refused."""

from __future__ import annotations

import importlib.util
import random
import sys
import threading

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from prodml_magics.contract.encode import encode_columns
from prodml_magics.contract.schema import write_contract
from prodml_magics.errors import InvalidInput, Unsupported
from prodml_magics.registry.build import build
from prodml_magics.registry.python import open_python


@pytest.fixture(scope="module")
def frame():
    data = load_breast_cancer(as_frame=True)
    return data.data.iloc[:, :4], data.target


@pytest.fixture(scope="module")
def odd(frame):
    rows, target = frame
    steps = make_pipeline(FunctionTransformer(lambda values: np.log1p(values)), KNeighborsClassifier(3))
    return steps.fit(rows[:400], target[:400])


def test_the_refusal_names_the_operator_and_offers_trust(odd, frame):
    rows, target = frame
    with pytest.raises(Unsupported, match=r"cannot express FunctionTransformer.*or add --trust to serve it as Python"):
        build(odd, train=(rows[:400], target[:400]))


def test_a_trusted_estimator_answers_from_its_bytes_as_it_does_here(odd, frame):
    rows, target = frame
    candidate = build(odd, train=(rows[:400], target[:400]), test=(rows[400:], target[400:]), trust=True)
    assert candidate.flavor == "python"
    assert candidate.parity.max_abs_difference == 0
    assert candidate.metrics["accuracy"] == odd.score(rows[400:], target[400:])
    assert "FunctionTransformer" in candidate.warnings[0]
    assert "a process of its own" in candidate.warnings[0]
    session = open_python(candidate.model, write_contract(candidate.contract))
    try:
        tensors = encode_columns(candidate.contract, {name: rows[name].to_numpy() for name in rows})
        np.testing.assert_array_equal(session.run(tensors)["probabilities"], odd.predict_proba(rows))
    finally:
        session.close()


def test_trust_keeps_onnx_where_onnx_is_exact(frame):
    rows, target = frame
    model = KNeighborsClassifier(3).fit(rows[:400], target[:400])
    assert build(model, train=(rows[:400], target[:400]), trust=True).flavor == "onnx"


@pytest.mark.parametrize(("returns", "task", "classes"), [("flag", "classification", (0, 1)), ("number", "regression", ())])
def test_a_function_over_a_polars_frame_is_a_model(returns, task, classes):
    rows = pl.DataFrame({"amount": [1.0, 20.0, 3.0, 40.0], "country": ["de", "fr", "de", "xx"]})

    def rule(frame):
        assert isinstance(frame, pl.DataFrame)
        risky = (frame["amount"] > 10) & (frame["country"] != "de")
        return risky if returns == "flag" else frame["amount"] * 2

    candidate = build(rule, train=(rows,), trust=True)
    assert (candidate.contract.task, candidate.contract.classes) == (task, classes)
    given = candidate.train_outputs["label" if returns == "flag" else "prediction"]
    assert given.tolist() == ([0, 1, 0, 1] if returns == "flag" else [2.0, 40.0, 6.0, 80.0])


def test_a_function_may_name_its_outputs():
    rows = pd.DataFrame({"a": [1.0, 2.0, 3.0]})
    candidate = build(lambda frame: {"low": frame["a"] - 1, "high": frame["a"] + 1}, train=(rows,), trust=True)
    assert [tensor.name for tensor in candidate.contract.outputs] == ["low", "high"]
    assert candidate.contract.task == "other"


def test_an_object_with_predict_is_a_model():
    class Mean:
        def __init__(self, value):
            self.value = value

        def predict(self, frame):
            return np.full(len(frame), self.value)

    candidate = build(Mean(4.5), train=(np.eye(3), np.arange(3.0)), test=(np.eye(3), np.full(3, 4.5)), trust=True)
    assert candidate.metrics["rmse"] == 0


def test_code_of_a_module_that_is_not_installed_travels_along(tmp_path):
    (tmp_path / "house_rules.py").write_text(
        "LIMIT = 10\ndef _over(x):\n    return x > LIMIT\ndef rule(frame):\n    return _over(frame['a'])\n"
    )
    spec = importlib.util.spec_from_file_location("house_rules", tmp_path / "house_rules.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["house_rules"] = module
    try:
        spec.loader.exec_module(module)
        candidate = build(module.rule, train=(pl.DataFrame({"a": [5, 15]}),), trust=True)
    finally:
        del sys.modules["house_rules"]
    assert candidate.train_outputs["label"].tolist() == [0, 1]


def _holding(lock):
    return lambda frame: np.full(len(frame), float(lock.locked()))


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda frame: 1 / 0, "fails on the training rows: division by zero"),
        (lambda frame: [1.0], "one value for each row"),
        (
            lambda frame: np.array([random.SystemRandom().random() for _ in range(len(frame))]),
            "answers the same rows differently",
        ),
        (_holding(threading.Lock()), "cannot be pickled"),
    ],
)
def test_a_function_that_cannot_be_relied_upon_is_refused(function, says):
    with pytest.raises(InvalidInput, match=says):
        build(function, train=(np.arange(8.0).reshape(4, 2),), trust=True)


def test_a_function_that_needs_what_only_this_process_has_is_refused():
    random.__dict__["only_here"] = 3.0
    try:
        with pytest.raises(InvalidInput, match="fails in a process of its own: AttributeError"):
            build(lambda frame: np.full(len(frame), random.only_here), train=(np.eye(3),), trust=True)
    finally:
        del random.__dict__["only_here"]


def test_without_trust_a_function_is_refused_with_the_way_out():
    with pytest.raises(Unsupported, match=r"is a plain function; .* and any other Python with --trust"):
        build(lambda frame: frame, train=(np.eye(3),))


def test_what_is_no_model_stays_refused_with_trust():
    with pytest.raises(Unsupported, match="is no model"):
        build(42, train=(np.eye(3),), trust=True)


class OfAnotherLibrary(LogisticRegression):
    __module__ = "keras.src.models"


def test_another_librarys_estimator_is_served_as_python(frame):
    rows, target = frame
    model = OfAnotherLibrary().fit(rows, target)
    with pytest.raises(Unsupported, match=r"a TensorFlow model; .*--trust"):
        build(model, train=(rows, target))
    candidate = build(model, train=(rows, target), trust=True)
    assert candidate.flavor == "python"
    assert candidate.contract.classes == (0, 1)


def test_what_a_known_library_cannot_convert_is_served_as_python(frame):
    xgboost = pytest.importorskip("xgboost")
    rows, target = frame
    model = xgboost.XGBClassifier(booster="gblinear", n_estimators=3).fit(rows, target)
    with pytest.raises(Unsupported, match=r"XGBClassifier with booster 'gblinear' has no trees .*--trust"):
        build(model, train=(rows, target))
    assert build(model, train=(rows, target), trust=True).flavor == "python"
