from __future__ import annotations

from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from registry.conversions import opened
from registry.here import Here
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from prodml_magics.actions.profiling import Profiling
from prodml_magics.contract.check import check_tensors
from prodml_magics.contract.encode import encode_columns, encode_rows, output_columns
from prodml_magics.contract.samples import read_samples
from prodml_magics.contract.schema import Tensor
from prodml_magics.errors import GateRefused, InvalidInput, NotFound, Unsupported
from prodml_magics.registry.build import build
from prodml_magics.stats.drift import from_arrow

HERE: Any = Here()


def test_a_candidate_holds_all_that_a_version_needs(candidate, model, cancer):
    assert candidate.parity.passed
    assert candidate.parity.precision == "FP32"
    assert candidate.parity.kinds == {"test": 169, "train": 400, "batch": 6}
    assert candidate.contract.inputs == (Tensor(name="input", datatype="FP32", shape=(-1, 30)),)
    assert candidate.contract.outputs == (
        Tensor(name="label", datatype="INT64", shape=(-1,)),
        Tensor(name="probabilities", datatype="FP32", shape=(-1, 2)),
    )
    assert candidate.contract.classes == (0, 1)
    assert candidate.contract.columns[0].name == "x0"
    assert list(candidate.train_columns) == [f"x{place}" for place in range(30)]
    assert list(candidate.train_outputs) == ["label", "probability_0", "probability_1"]
    assert len(candidate.train_outputs["label"]) == 400
    assert candidate.warnings == ()


def test_the_metrics_are_scikit_learns_own(candidate, model, cancer):
    rows, target = cancer.test
    probabilities = model.predict_proba(rows)
    assert candidate.metrics["accuracy"] == accuracy_score(target, model.predict(rows))
    assert candidate.metrics["log_loss"] == pytest.approx(log_loss(target, probabilities), abs=1e-5)
    assert candidate.metrics["roc_auc"] == pytest.approx(roc_auc_score(target, probabilities[:, 1]), abs=1e-9)


def test_units_of_the_training_frame_are_in_the_contract():
    rows = pd.DataFrame({"price": [1.0, 2, 3, 4], "rooms": [1, 2, 3, 5]})
    rows.attrs["units"] = {"price": "EUR"}
    columns = build(LinearRegression().fit(rows, [1, 2, 3, 4]), train=(rows,), converter=HERE).contract.columns
    assert [column.unit for column in columns] == ["EUR", ""]


def test_the_importance_finds_the_column_that_matters():
    generator = np.random.default_rng(0)
    rows = pd.DataFrame(generator.normal(size=(300, 3)), columns=["a", "b", "c"])
    model = LinearRegression().fit(rows, 5 * rows.b)
    found = build(model, train=(rows, 5 * rows.b), test=(rows, 5 * rows.b), converter=HERE).importance
    assert max(found, key=found.__getitem__) == "b"
    assert found["b"] > 1
    assert abs(found["a"]) < 1e-9


def test_the_samples_are_answered_alike_after_loading(candidate):
    samples = read_samples(candidate.samples)
    given = opened(candidate.model, candidate.contract).run(samples.inputs)
    for name, expected in samples.outputs.items():
        np.testing.assert_array_equal(given[name], expected)


def test_the_lineage_names_the_data_and_hides_secrets(candidate):
    assert candidate.lineage.git is None
    assert candidate.lineage.cells == ("password = '[redacted]'",)
    assert len(candidate.lineage.data["train"]) == len(candidate.lineage.data["test"]) == 30


FRAME = {"price": [1.5, 2.5, 0.5, 3.0] * 20, "city": ["Bonn", None, "Köln", "Ulm"] * 20, "rooms": [1, 2, 3, 4] * 20}
TARGET = np.array(["rent", "buy", "rent", "buy"] * 20)


@pytest.mark.parametrize("frame", [pd.DataFrame(FRAME), pl.DataFrame(FRAME)], ids=["pandas", "polars"])
def test_mixed_frames_of_both_libraries_are_registered_and_answered(frame):
    columns = make_column_transformer(
        (StandardScaler(), ["price", "rooms"]), (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["city"])
    )
    model = make_pipeline(columns, LogisticRegression()).fit(frame, TARGET)
    candidate = build(model, train=(frame, TARGET), test=(frame[:8], TARGET[:8]), converter=HERE)
    contract = candidate.contract
    assert [tensor.name for tensor in contract.inputs] == ["numeric", "categorical"]
    assert [column.name for column in contract.columns] == ["price", "city", "rooms"]
    assert {"missing", "unseen"} <= candidate.parity.kinds.keys()
    tensors = encode_rows(contract, [{"price": 1.5, "city": None, "rooms": 1}, {"price": 9, "city": "Rom", "rooms": 4}])
    assert check_tensors(contract, tensors) == 2
    answers = output_columns(contract, opened(candidate.model, candidate.contract).run(tensors))
    wanted = model.predict_proba(type(frame)({"price": [1.5, 9.0], "city": [None, "Rom"], "rooms": [1, 4]}))
    np.testing.assert_allclose(answers["probability_buy"], wanted[:, 0], atol=1e-5)
    assert list(answers) == ["label", "probability_buy", "probability_rent"]
    assert set(answers["label"]) <= {"buy", "rent"}


def test_double_comes_automatically_where_float_would_flip(cancer):
    model = make_pipeline(StandardScaler(), RandomForestClassifier(10, random_state=0)).fit(*cancer.train)
    candidate = build(model, train=cancer.train, test=cancer.test, converter=HERE)
    assert candidate.contract.inputs[0].datatype == candidate.parity.precision == "FP64"
    assert candidate.parity.kinds["threshold"] > 100
    assert "FP64" in candidate.warnings[0]


def test_the_profile_of_a_version_keeps_little_of_masked_columns(cancer):
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(*cancer.train)
    found = []
    for mask in (frozenset(), frozenset({"x0"})):
        with Profiling(lambda _, mask=mask: mask) as profiling:
            build(model, train=cancer.train, converter=HERE, observer=profiling)
            found.append(from_arrow(profiling.arrow({}, {})).columns["x0"])
    whole, masked = found
    assert len(whole.values) == len(cancer.train[0])
    assert len(masked.values) == len(cancer.train[0]) // 20
    assert masked.rank_error > 0


class TestRefusals:
    """One line each, and nothing converted."""

    def check(self, error, match, model, **data):
        with pytest.raises(error, match=match) as caught:
            build(model, **data)
        assert "\n" not in str(caught.value)

    def test_an_unfitted_model(self, cancer):
        self.check(InvalidInput, "LogisticRegression is not fitted", LogisticRegression(), train=cancer.train)

    def test_a_class(self, cancer):
        self.check(InvalidInput, "LogisticRegression is a class", LogisticRegression, train=cancer.train)

    def test_no_training_rows(self, model):
        self.check(InvalidInput, "training rows are needed", model)

    def test_infinity_in_the_test_rows(self, model, cancer):
        rows = cancer.test[0].copy()
        rows[3, 2] = np.inf
        self.check(InvalidInput, "column 'x2' is infinite in row 3", model, train=cancer.train, test=(rows, cancer.test[1]))

    def test_nan_where_training_had_none(self, model, cancer):
        rows = cancer.test[0].copy()
        rows[4, 1] = np.nan
        self.check(InvalidInput, "column 'x1' is missing .* row 4", model, train=cancer.train, test=(rows, cancer.test[1]))

    def test_zero_rows(self, model, cancer):
        self.check(InvalidInput, "no rows", model, train=cancer.train, test=(cancer.test[0][:0], cancer.test[1][:0]))

    def test_another_number_of_targets(self, model, cancer):
        self.check(InvalidInput, "169 rows in X but 5 in y", model, train=cancer.train, test=(cancer.test[0], cancer.test[1][:5]))

    def test_a_column_too_few(self, model, cancer):
        self.check(InvalidInput, "29 columns.* fitted on 30", model, train=(cancer.train[0][:, :29], cancer.train[1]))

    def test_a_renamed_column_and_one_of_another_type(self):
        frame = pd.DataFrame({"a": [1.0, 2, 3, 4], "b": [1, 2, 3, 5]})
        model = LinearRegression().fit(frame, [1, 2, 3, 4])
        self.check(
            InvalidInput, "the test rows lack 'b' and have 'c'", model, train=(frame,), test=(frame.rename(columns={"b": "c"}),)
        )
        self.check(InvalidInput, "another order", model, train=(frame[["b", "a"]],))
        self.check(InvalidInput, r"column 'b' is 'x' \(str\)", model, train=(frame,), test=(frame.assign(b=["x"] * 4),))

    def test_another_task(self, model, cancer):
        self.check(InvalidInput, "does classification, not regression", model, train=cancer.train, task="regression")

    def test_what_is_no_model_of_ours(self):
        self.check(Unsupported, "function.* is a plain function; this release registers scikit-learn", lambda rows: rows)
        self.check(Unsupported, "builtins.dict is no model", {})

    def test_other_families_by_their_name(self):
        other = type("Booster", (LogisticRegression,), {"__module__": "keras.src.models"})
        self.check(Unsupported, "Booster is a TensorFlow model; this release registers scikit-learn", other())
        self.check(Unsupported, "holds Booster of TensorFlow", make_pipeline(StandardScaler(), other()))

    @pytest.mark.parametrize(("family", "module"), [("JAX", "flax.linen"), ("PyTorch", "torch.nn")])
    def test_a_network_within_a_pipeline(self, family, module):
        other = type("Net", (LogisticRegression,), {"__module__": module})
        self.check(Unsupported, f"holds Net of {family}", make_pipeline(StandardScaler(), other()))

    def test_a_transformer(self, cancer):
        self.check(Unsupported, "StandardScaler has no predict", StandardScaler().fit(cancer.train[0]), train=cancer.train)

    def test_several_targets_of_a_classifier(self, cancer):
        rows, target = cancer.train
        model = KNeighborsClassifier().fit(rows, np.column_stack([target, target]))
        self.check(Unsupported, "several targets at once", model, train=cancer.train)

    def test_fractions_as_labels(self, cancer):
        model = KNeighborsClassifier().fit(cancer.train[0], [str(label) for label in cancer.train[1]])
        model.classes_ = np.array([0.5, 1.5])
        self.check(Unsupported, "fractions", model, train=cancer.train)

    def test_files(self, tmp_path, model):
        path = tmp_path / "model.joblib"
        joblib.dump(model, path)
        self.check(InvalidInput, "is a pickle.*add --trust", path)
        self.check(NotFound, "no file", tmp_path / "none.onnx")
        self.check(Unsupported, "no model file", tmp_path / "model.txt")
        (tmp_path / "junk.onnx").write_bytes(b"junk")
        self.check(GateRefused, "not an ONNX model", str(tmp_path / "junk.onnx"))


def test_a_trusted_pickle_is_registered(tmp_path, model, cancer):
    path = tmp_path / "model.joblib"
    joblib.dump(model, path)
    assert build(path, train=cancer.train, trust=True, converter=HERE).metrics == {}


def test_a_ready_file_is_registered_with_its_own_tensors(tmp_path, candidate, cancer):
    path = tmp_path / "ready.onnx"
    path.write_bytes(candidate.model)
    ready = build(path, train=cancer.train, test=cancer.test)
    assert ready.model == candidate.model
    assert ready.contract.columns == ()
    assert ready.contract.inputs == candidate.contract.inputs
    assert ready.contract.task == "classification"
    assert ready.metrics["accuracy"] == candidate.metrics["accuracy"]
    assert list(ready.train_outputs) == ["label", "probability_0", "probability_1"]
    bare = build(path)
    assert bare.samples == b""
    assert any("zeros only" in line for line in bare.warnings)


def test_encoded_training_rows_give_the_recorded_answers(candidate):
    tensors = encode_columns(candidate.contract, candidate.train_columns)
    given = output_columns(candidate.contract, opened(candidate.model, candidate.contract).run(tensors))
    np.testing.assert_array_equal(given["probability_1"], candidate.train_outputs["probability_1"])


def test_several_targets_of_a_regressor_are_columns():
    rows = np.random.default_rng(0).normal(size=(50, 3))
    targets = rows @ np.array([[1.0, 2], [3, 4], [5, 6]])
    candidate = build(LinearRegression().fit(rows, targets), train=(rows, targets), test=(rows, targets), converter=HERE)
    assert candidate.contract.outputs == (Tensor(name="prediction", datatype="FP32", shape=(-1, 2)),)
    assert list(candidate.train_outputs) == ["prediction_0", "prediction_1"]
    assert candidate.metrics["r2"] == pytest.approx(1)


def test_a_model_fitted_on_pandas_text_with_nan_is_registered_from_a_polars_frame():
    rng = np.random.default_rng(0)
    cities = rng.choice(np.array(["Bern", "Oslo", None], dtype=object), 400)
    frame = pd.DataFrame({"age": rng.normal(40, 9, 400), "city": pd.Series(cities, dtype="str")})
    target = (frame["age"] > 40) ^ frame["city"].isna()
    encoder = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["city"]), remainder="passthrough")
    model = make_pipeline(encoder, LogisticRegression(max_iter=2000)).fit(frame, target)
    rows = pl.DataFrame({"age": frame["age"].to_numpy(), "city": cities.tolist()})
    built = build(model, train=(rows, target), test=(rows, target), converter=HERE)
    assert built.parity.label_agreement == 1.0
