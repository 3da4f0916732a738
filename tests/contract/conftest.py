from __future__ import annotations

import pytest

from prodml_magics.contract.schema import Column, Contract, Tensor


@pytest.fixture
def numeric() -> Contract:
    """Three numeric columns, the second nullable, the third bool, in one FP32 tensor."""
    return Contract(
        task="classification",
        columns=(
            Column(name="age", kind="numeric", dtype="int64", minimum=0, maximum=99),
            Column(name="income", kind="numeric", dtype="float64", nullable=True),
            Column(name="member", kind="numeric", dtype="bool"),
        ),
        inputs=(Tensor(name="input", datatype="FP32", shape=(-1, 3)),),
        outputs=(
            Tensor(name="label", datatype="BYTES", shape=(-1,)),
            Tensor(name="probabilities", datatype="FP32", shape=(-1, 2)),
        ),
        classes=("no", "yes"),
    )


@pytest.fixture
def mixed() -> Contract:
    """A category between two numbers; the category nullable."""
    return Contract(
        task="regression",
        columns=(
            Column(name="price", kind="numeric", dtype="float64"),
            Column(name="city", kind="categorical", dtype="string", nullable=True, categories=("Bonn", "Köln")),
            Column(name="rooms", kind="numeric", dtype="int64"),
            Column(name="shop", kind="categorical", dtype="string", categories=("a", "b")),
        ),
        inputs=(
            Tensor(name="numeric", datatype="FP64", shape=(-1, 2)),
            Tensor(name="categorical", datatype="BYTES", shape=(-1, 2)),
        ),
        outputs=(Tensor(name="prediction", datatype="FP64", shape=(-1,)),),
    )


@pytest.fixture
def bare() -> Contract:
    """A model without named columns: an image of 2 × 2 and a number per row."""
    return Contract(
        task="other",
        columns=(),
        inputs=(
            Tensor(name="image", datatype="FP32", shape=(-1, 2, 2)),
            Tensor(name="weight", datatype="INT64", shape=(-1,)),
        ),
        outputs=(Tensor(name="embedding", datatype="FP32", shape=(-1, 3)),),
    )
