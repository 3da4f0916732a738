"""Numbers in narrow types: what a step computes in them is not what it computes in those that are served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from prodml_magics.errors import Unsupported
from prodml_magics.registry.build import build

RNG = np.random.default_rng(0)
WANTED = RNG.normal(size=300)
BYTES = RNG.integers(0, 120, (300, 3)).astype("i1")


def _build(model, rows, target=WANTED):
    return build(model.fit(rows, target), train=(rows, target), test=None, root=Path.cwd())


@pytest.mark.parametrize(
    ("function", "rows"),
    [
        (np.log1p, BYTES),  # float16 in numpy
        (np.square, BYTES),  # overflows
        (np.negative, BYTES.astype("u1")),
        (np.square, RNG.integers(0, 10**6, (300, 3)).astype("i4")),
        (np.log1p, pd.DataFrame(BYTES, columns=list("abc"))),
    ],
)
def test_a_step_that_computes_in_a_narrow_type_is_refused_with_the_column_and_the_cure(function, rows):
    first = "a" if isinstance(rows, pd.DataFrame) else "x0"
    kind = BYTES.dtype if isinstance(rows, pd.DataFrame) else rows.dtype
    said = f"otherwise to {kind} numbers, as columns '{first}' and 2 more hold them, .* cast such columns to float64 and fit it again"
    with pytest.raises(Unsupported, match=said):
        _build(make_pipeline(FunctionTransformer(function), StandardScaler(), LinearRegression()), rows)


def test_one_narrow_column_is_named_alone():
    rows = pd.DataFrame({"wide": RNG.normal(size=300), "small": BYTES[:, 0]})
    with pytest.raises(Unsupported, match="to int8 numbers, as column 'small' holds them"):
        _build(make_pipeline(FunctionTransformer(np.sqrt), LinearRegression()), rows.abs())


@pytest.mark.parametrize("rows", [BYTES, BYTES.astype("u2"), BYTES.astype("i4"), pl.DataFrame(BYTES, schema=["a", "b", "c"])])
def test_narrow_numbers_that_every_step_widens_convert(rows):
    labels = (WANTED > 0).astype(int)
    assert _build(make_pipeline(StandardScaler(), LogisticRegression()), rows, labels).model
    assert _build(RandomForestClassifier(5, random_state=0), rows, labels).model


def test_numbers_of_the_type_that_is_served_convert():
    rows = RNG.integers(0, 10**6, (300, 3))
    assert _build(make_pipeline(FunctionTransformer(np.square), StandardScaler(), LinearRegression()), rows).model
