from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

from prodml_magics.errors import InvalidInput
from prodml_magics.registry.frames import columns_of, rebuild, target_of

DATA = {"a": [1, 2, 3], "b": [0.5, None, 2.5], "c": ["x", None, "y"], "d": [True, False, True]}


@pytest.mark.parametrize(
    "frame", [pd.DataFrame(DATA), pl.DataFrame(DATA), pd.DataFrame(DATA).convert_dtypes()], ids=["pandas", "polars", "nullable"]
)
def test_both_libraries_give_the_same_columns(frame):
    columns = columns_of(frame)
    assert list(columns) == ["a", "b", "c", "d"]
    assert columns["a"].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(columns["b"].astype(float), [0.5, np.nan, 2.5])
    assert [value if isinstance(value, str) else None for value in columns["c"]] == ["x", None, "y"]
    assert columns["d"].tolist() == [True, False, True]


def test_arrays_get_names():
    assert list(columns_of(np.ones((2, 3)))) == ["x0", "x1", "x2"]
    assert list(columns_of([[1, 2]], ["u", "v"])) == ["u", "v"]


@pytest.mark.parametrize("frame", [pd.DataFrame(DATA), pl.DataFrame(DATA)], ids=["pandas", "polars"])
def test_a_frame_is_rebuilt_as_it_was(frame):
    columns = {name: values if name != "c" else np.array(["x", None, "y"], object) for name, values in columns_of(frame).items()}
    again = rebuild(columns, frame, {"a": "int64", "b": "float64", "c": "string", "d": "bool"})
    if isinstance(frame, pd.DataFrame):
        pd.testing.assert_frame_equal(again, frame)
    else:
        assert again.with_columns(pl.col("b").fill_nan(None)).equals(frame)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.ones(3), r"shape \[3\]; give a table"),
        (np.ones((0, 2)), "no rows"),
        (np.ones((2, 0)), "no columns"),
        (np.array([[1, np.inf]]), "column 'x1' is infinite in row 0"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "column 'a' is there twice"),
        (pd.Series([1, 2]), "one dimension"),
        (pd.DataFrame({"a": [1.0, -np.inf]}), "column 'a' is infinite in row 1"),
    ],
)
def test_what_is_no_table_of_finite_values_is_refused(rows, message):
    with pytest.raises(InvalidInput, match=message):
        columns_of(rows)


def test_targets_of_any_kind_are_one_value_per_row():
    for target in ([1, 2], np.array([[1], [2]]), pd.Series([1, 2]), pl.Series([1, 2]), pd.DataFrame({"y": [1, 2]})):
        assert target_of(target).tolist() == [1, 2]
    assert target_of(pd.Series(["a", "b"])).tolist() == ["a", "b"]
    with pytest.raises(InvalidInput, match="missing or infinite in row 1"):
        target_of([1.0, np.nan])
