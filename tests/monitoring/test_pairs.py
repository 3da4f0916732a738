"""Answers of two versions as pairs: the same from the lake as from a run, and held to a slow loop."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from prodml_magics.contract.encode import output_columns
from prodml_magics.contract.schema import Column, Contract, Tensor
from prodml_magics.errors import InvalidInput
from prodml_magics.monitoring.pairs import Answers, Slicer, compared, gained, logged_answers, run_answers, truth_of, unit_of

REGRESSOR = Contract(task="regression", columns=(), inputs=(), outputs=(Tensor(name="prediction", datatype="FP32", shape=(-1,)),))
OTHER = Contract(task="other", columns=(), inputs=(), outputs=(Tensor(name="embedding", datatype="FP32", shape=(-1, 3)),))


def classifier(classes: tuple[str | int | float, ...], datatype: str) -> Contract:
    label = Tensor(name="label", datatype=datatype, shape=(-1,))
    probabilities = Tensor(name="probabilities", datatype="FP32", shape=(-1, len(classes)))
    return Contract(task="classification", columns=(), inputs=(), outputs=(label, probabilities), classes=classes)


def logged(contract: Contract, tensors: dict[str, np.ndarray]) -> pl.Series:
    """Outputs as the lake keeps them."""
    columns = output_columns(contract, tensors)
    plain = {
        name: [str(each) for each in values] if name == "label" else values.astype(float) for name, values in columns.items()
    }
    return pl.DataFrame(plain).to_struct("outputs")


@pytest.mark.parametrize(
    ("classes", "datatype", "labels"),
    [
        ((0, 1, 2), "INT64", np.array([2, 0, 1, 2])),
        ((5, 1, 3), "INT64", np.array([3, 5, 1, 3])),
        (("b", "a"), "BYTES", np.array(["a", "b", "a", "a"], object)),
    ],
)
def test_answers_are_the_same_from_the_lake_as_from_a_run(
    classes: tuple[str | int | float, ...], datatype: str, labels: np.ndarray
) -> None:
    contract = classifier(classes, datatype)
    rng = np.random.default_rng(0)
    tensors = {"label": labels, "probabilities": rng.random((4, len(classes))).astype(np.float32)}
    run, kept = run_answers(contract, tensors), logged_answers(contract, logged(contract, tensors))
    assert run.label is not None and kept.label is not None and run.score is not None and kept.score is not None
    assert run.label.tolist() == kept.label.tolist() == [classes.index(each) for each in labels.tolist()]
    assert run.score.tolist() == kept.score.tolist()


def test_numbers_are_compared_in_units_of_their_range() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(100, 10, 5_000)
    live = logged_answers(REGRESSOR, logged(REGRESSOR, {"prediction": values}))
    unit = unit_of(REGRESSOR, live)
    assert unit.size == pytest.approx(4 * values.std())
    other = Answers(None, values + np.where(np.arange(5_000) % 2, 0.5, 4.0))
    differs, moved = compared(live, other, unit)
    assert differs.tolist() == [index % 2 == 0 for index in range(5_000)]
    assert moved[:2].tolist() == pytest.approx([4 / unit.size, 0.5 / unit.size])
    assert unit_of(REGRESSOR, Answers(None, np.full(3, 7.0))).size == 7.0


def test_a_model_of_another_kind_is_compared_by_its_first_number() -> None:
    table = np.arange(6.0).reshape(2, 3)
    assert run_answers(OTHER, {"embedding": table}).score is not None
    found = logged_answers(OTHER, logged(OTHER, {"embedding": table})).score
    assert found is not None and found.tolist() == [0.0, 3.0]
    with pytest.raises(InvalidInput, match="answer with nothing that can be compared"):
        compared(Answers(None, None), Answers(None, None), unit_of(OTHER, Answers(None, None)))


def test_nan_beside_nan_is_the_same_answer_and_nan_beside_a_number_is_not() -> None:
    live, other = Answers(None, np.array([np.nan, np.nan, 1.0])), Answers(None, np.array([np.nan, 1.0, np.nan]))
    assert compared(live, other, unit_of(REGRESSOR, Answers(None, np.array([0.0, 1.0]))))[0].tolist() == [False, True, True]


def test_who_was_right_is_known_where_a_label_has_come() -> None:
    contract = classifier((0, 1), "INT64")
    truth = truth_of(contract, pl.Series(["1", "1", "0", None, "unheard"]))
    live, other = (Answers(np.array(each), None) for each in ([1, 0, 1, 1, 1], [0, 1, 1, 1, 1]))
    found = gained(live, other, truth)
    assert found[:3].tolist() == [-1.0, 1.0, 0.0] and np.isnan(found[3]) and found[4] == 0.0
    near = gained(
        Answers(None, np.array([1.0, 5.0])), Answers(None, np.array([2.0, 4.0])), truth_of(REGRESSOR, pl.Series([1.5, 3.0]))
    )
    assert near.tolist() == [0.0, 1.0]
    assert np.isnan(gained(live, other, None)).all()


def test_slices_are_classes_levels_and_halves_at_a_median_that_stays() -> None:
    contract = Contract(
        task="classification",
        columns=(
            Column(name="age", kind="numeric", dtype="float64"),
            Column(name="city", kind="categorical", dtype="string", categories=("Bonn", "Oslo")),
        ),
        inputs=(),
        outputs=(Tensor(name="label", datatype="INT64", shape=(-1,)),),
        classes=(0, 1),
    )
    slicer = Slicer(contract)
    first = slicer.masks(
        {"age": np.array([1.0, 2.0, 9.0]), "city": np.array(["Oslo", None, "Bonn"], object)}, Answers(np.array([0, 1, 1]), None)
    )
    assert {name: mask.tolist() for name, mask in first.items()} == {
        "answered 0": [True, False, False], "answered 1": [False, True, True],
        "age ≤ 2": [True, True, False], "age > 2": [False, False, True],
        "city = Bonn": [False, False, True], "city = Oslo": [True, False, False],
    }  # fmt: skip
    again = slicer.masks({"age": np.array([50.0]), "city": np.array(["Rome"], object)}, Answers(np.array([0]), None))
    assert again.keys() == first.keys() and again["age > 2"].tolist() == [True]
