from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from prodml_magics.contract.infer import infer_columns
from prodml_magics.contract.schema import Column
from prodml_magics.errors import InvalidInput


def test_types_ranges_levels_and_nulls_are_read_off_the_rows():
    columns = infer_columns(
        {
            "a": np.array([3, 1, 2]),
            "b": np.array([0.5, np.nan, 2.5]),
            "c": np.array([True, False, True]),
            "d": np.array(["y", "x", "y"]),
            "e": np.array(["y", None, "x"], object),
            "f": np.array([1, None, 2.5], object),
            "g": pd.Series(["u", None, "v"]).to_numpy(),
            "h": np.array([np.nan, np.nan, np.nan]),
        }
    )
    assert columns == (
        Column(name="a", kind="numeric", dtype="int64", minimum=1, maximum=3),
        Column(name="b", kind="numeric", dtype="float64", nullable=True, minimum=0.5, maximum=2.5),
        Column(name="c", kind="numeric", dtype="bool", minimum=0, maximum=1),
        Column(name="d", kind="categorical", dtype="string", categories=("x", "y")),
        Column(name="e", kind="categorical", dtype="string", nullable=True, categories=("x", "y")),
        Column(name="f", kind="numeric", dtype="float64", nullable=True, minimum=1, maximum=2.5),
        Column(name="g", kind="categorical", dtype="string", nullable=True, categories=("u", "v")),
        Column(name="h", kind="numeric", dtype="float64", nullable=True),
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array(["2020-01-01"], "datetime64[D]"), "column 'x' is of dtype datetime64"),
        (np.array([1j]), "complex128"),
        (np.array([1, "a"], object), "int and str"),
        (np.array(["", None, "\0"], object), "empty text, missing values and the character"),
    ],
)
def test_what_no_contract_can_hold_is_refused(values, message):
    with pytest.raises(InvalidInput, match=message):
        infer_columns({"x": values})


def test_a_missing_value_is_written_otherwise_where_empty_text_is_a_level():
    (column,) = infer_columns({"x": np.array(["", None, "a"], object)})
    assert (column.null, column.categories, column.nullable) == ("\0", ("", "a"), True)
    for values in (np.array(["a", None], object), np.array(["", "a"])):
        assert infer_columns({"x": values})[0].null == ""
