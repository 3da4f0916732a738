from __future__ import annotations

import threading

import numpy as np
import onnx
import pytest
from registry.here import Here
from sklearn.ensemble import AdaBoostClassifier, VotingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from prodml_magics.contract.infer import infer_columns
from prodml_magics.errors import GateRefused, Unsupported
from prodml_magics.inference.session import open_session
from prodml_magics.registry.build import build
from prodml_magics.registry.converters import ChildConverter
from prodml_magics.registry.converters.ready import describe_tensors, prepare_file, task_of
from prodml_magics.registry.converters.steps import step_of
from prodml_magics.registry.frames import columns_of


def test_a_conversion_that_hangs_is_ended(cancer, model):
    """skl2onnx takes tens of milliseconds for each tree of AdaBoost."""
    slow = make_pipeline(StandardScaler(), AdaBoostClassifier(n_estimators=200)).fit(*cancer.train)
    columns = infer_columns(columns_of(cancer.train[0]))
    wanted = r"Pipeline took longer than 1 s and was ended in step 'adaboostclassifier' \(AdaBoostClassifier\); use a simpler step there"
    with ChildConverter() as converter:
        converter.convert(model, columns, "FP32")  # which waits until it has loaded what it needs
        converter._timeout_s = 1
        with pytest.raises(Unsupported, match=wanted):
            converter.convert(slow, columns, "FP32")


def test_what_is_loaded_when_the_time_is_over_is_no_step(cancer, model):
    with (
        ChildConverter(timeout_s=0.1) as converter,
        pytest.raises(Unsupported, match=r"0\.1 s and was ended; use a simpler model"),
    ):
        converter.convert(model, infer_columns(columns_of(cancer.train[0])), "FP32")


def test_a_part_is_told_by_the_innermost_step_that_has_a_name():
    tree, scaler = DecisionTreeClassifier(), StandardScaler()
    inner = make_pipeline(scaler, tree)
    vote = VotingClassifier([("left", inner), ("right", LogisticRegression())])
    vote.fit(np.eye(4), [0, 1, 0, 1])
    model = make_pipeline(StandardScaler(), vote)
    scaled, held = vote.named_estimators_["left"].steps[0][1], vote.named_estimators_["right"]
    assert step_of(model, scaled) == "step 'standardscaler' (StandardScaler)"
    assert step_of(model, held) == "step 'right' (LogisticRegression)"
    assert step_of(model, vote) == "step 'votingclassifier' (VotingClassifier)"
    assert step_of(held, held) == "LogisticRegression"


def test_a_model_that_cannot_be_pickled_is_converted_here(cancer):
    model = LogisticRegression(max_iter=5000).fit(*cancer.train)
    model.lock_ = threading.Lock()
    columns = infer_columns(columns_of(cancer.train[0]))
    with ChildConverter() as converter:
        file = converter.convert(model, columns, "FP32")
    rows = cancer.test[0].astype(np.float32)
    given = open_session(file, device="cpu").run({"input": rows})
    np.testing.assert_array_equal(given["label"], model.predict(rows.astype(np.float64)))


def test_a_ready_converter_serves_several_registrations(cancer, model):
    with ChildConverter() as converter:
        first = build(model, train=cancer.train, converter=converter)
        second = build(model, train=cancer.train, converter=converter)
    assert first.model == second.model


def test_large_test_sets_are_compared_in_batches(cancer, model):
    rows = np.tile(cancer.test[0], (40, 1))
    parity = build(model, train=cancer.train, test=(rows,)).parity
    assert parity.kinds["test"] == len(rows) == 6760
    assert max(parity.batches) == 4096


def zipmapped(cancer) -> bytes:
    import warnings

    from skl2onnx import to_onnx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LogisticRegression(max_iter=5000).fit(*cancer.train)
        return to_onnx(model, cancer.train[0][:1].astype(np.float32), target_opset=18).SerializeToString()


def test_a_zipmap_is_taken_out_of_a_ready_file(cancer):
    file = zipmapped(cancer)
    with pytest.raises(Unsupported, match="sequence"):
        describe_tensors(file)
    inputs, outputs = describe_tensors(prepare_file(file))
    assert [tensor.datatype for tensor in (*inputs, *outputs)] == ["FP32", "INT64", "FP32"]
    assert task_of(outputs) == "other"
    rows = cancer.test[0].astype(np.float32)
    given = open_session(prepare_file(file), device="cpu").run({inputs[0].name: rows})
    assert given[outputs[1].name].shape == (len(rows), 2)


def test_a_fixed_batch_is_refused():
    x = onnx.helper.make_tensor_value_info("x", 1, [1, 2])
    y = onnx.helper.make_tensor_value_info("y", 1, [1, 2])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    with pytest.raises(Unsupported, match=r"'x' has the fixed shape \[1, 2\]"):
        describe_tensors(model.SerializeToString())


def test_a_file_whose_answer_depends_on_the_other_rows_is_refused():
    from prodml_magics.registry.ready import prove_file

    x = onnx.helper.make_tensor_value_info("x", 1, ["n", 2])
    y = onnx.helper.make_tensor_value_info("y", 1, ["n", 2])
    mean = onnx.helper.make_node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1)
    graph = onnx.helper.make_graph([mean, onnx.helper.make_node("Sub", ["x", "m"], ["y"])], "g", [x], [y])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    rows = {"a": np.array([1.0, 5.0, 2.0]), "b": np.array([3.0, 4.0, 9.0])}
    with pytest.raises(GateRefused, match="answers differently when rows are sent together"):
        prove_file(model.SerializeToString(), rows, None)


def test_a_step_that_skl2onnx_does_not_know_is_told_in_words():
    rows = np.arange(20.0)[:, None]
    model = make_pipeline(SplineTransformer(), LinearRegression()).fit(rows, rows[:, 0])
    with pytest.raises(Unsupported, match=r"express SplineTransformer \(skl2onnx knows no such step\); put its work"):
        build(model, train=(rows,), converter=Here())
