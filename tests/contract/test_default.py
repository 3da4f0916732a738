"""What a person declares as the answer of last resort becomes one row of the model's outputs, or is refused with what is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodml_magics.contract.default import default_row
from prodml_magics.contract.schema import Contract, Tensor
from prodml_magics.errors import InvalidInput


def classifier(*classes: str | int) -> Contract:
    label = "BYTES" if isinstance(classes[0], str) else "INT64"
    outputs = (
        Tensor(name="label", datatype=label, shape=(-1,)),
        Tensor(name="probabilities", datatype="FP32", shape=(-1, len(classes))),
    )
    return Contract(task="classification", columns=(), inputs=(), outputs=outputs, classes=classes)


def regressor(datatype: str = "FP32", shape: tuple[int, ...] = (-1, 1)) -> Contract:
    return Contract(task="regression", columns=(), inputs=(), outputs=(Tensor(name="y", datatype=datatype, shape=shape),))


def test_a_class_alone_is_certain() -> None:
    row = default_row(classifier("no", "yes"), '"yes"')
    assert (row["label"].tolist(), row["probabilities"].tolist()) == (["yes"], [[0.0, 1.0]])
    assert (row["label"].dtype, row["probabilities"].dtype) == (object, np.float32)


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=5), st.data())
def test_all_outputs_are_taken_as_they_are_said(weights: list[float], data: st.DataObject) -> None:
    shares = (np.array(weights) / sum(weights)).tolist()
    label = data.draw(st.integers(0, len(shares) - 1))
    row = default_row(classifier(*range(len(shares))), json.dumps({"label": label, "probabilities": shares}))
    assert row["label"].tolist() == [label]
    assert row["probabilities"] == pytest.approx(np.array([shares], np.float32))


@pytest.mark.parametrize(("shape", "text"), [((-1, 1), "7"), ((-1,), "7"), ((-1, 1), '{"y": [7]}'), ((-1, 2), '{"y": [7, 7]}')])
def test_a_number_has_the_shape_of_its_output(shape: tuple[int, ...], text: str) -> None:
    row = default_row(regressor(shape=shape), text)["y"]
    assert (row.shape, set(row.ravel().tolist())) == ((1, *shape[1:]), {7.0})


@pytest.mark.parametrize(
    ("contract", "text", "said"),
    [
        (classifier(0, 1), "2", "2 is no class of this model; its classes are 0, 1"),
        (classifier(0, 1), "{'label': 0}", "is not JSON"),
        (classifier(0, 1), "NaN", "is not JSON (NaN is no number of JSON)"),
        (classifier(0, 1), '{"label": 0}', "lacks probabilities; the outputs of this model are label, probabilities"),
        (classifier(0, 1), '{"label": 0, "probabilities": [1, 0], "p": 1}', "has p; the outputs"),
        (classifier(0, 1), '{"label": 0, "probabilities": [1]}', "has shape [1]; it must be [2]"),
        (classifier(0, 1), '{"label": 0, "probabilities": [[1], [1, 2]]}', "rows of unequal length"),
        (classifier(0, 1), '{"label": 0, "probabilities": [0.2, 0.2]}', "sum to 0.4; they must sum to 1"),
        (classifier(0, 1), '{"label": 3, "probabilities": [1, 0]}', "label 3 is no class"),
        (classifier(0, 1), '{"label": 0.5, "probabilities": [1, 0]}', "label is not INT64"),
        (classifier(0, 1), '{"label": true, "probabilities": [1, 0]}', "label is not INT64"),
        (classifier("a", "b"), '{"label": 0, "probabilities": [1, 0]}', "label is not BYTES"),
        (regressor(), '"much"', "y is not FP32"),
        (regressor(), "1e39", "must be finite numbers of FP32"),
        (regressor("UINT8"), "300", "y is beyond UINT8"),
        (regressor(shape=(-1, 2)), "1", "must be [2]"),
    ],
)
def test_what_is_no_answer_of_the_model_is_refused(contract: Contract, text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        default_row(contract, text)
    assert said in str(refused.value) and str(refused.value).startswith("--default")
