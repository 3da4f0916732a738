"""Packed arrays put together as bytes are what numpy puts together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodml_magics.storage.arrays import from_array, from_arrays, to_array

_DTYPES = ["f4", "f8", "f2", "i8", "u1", "?", ">i4", "O"]
_parts = st.lists(
    st.tuples(st.sampled_from(_DTYPES), st.integers(0, 3), st.sampled_from([(), (2,), (2, 2), (0,)])), min_size=1, max_size=5
)


def _made(dtype: str, rows: int, rest: tuple[int, ...]) -> np.ndarray:
    numbers = np.arange(rows * int(np.prod(rest, dtype=int))).reshape(rows, *rest) % 3
    return numbers.astype(str).astype(object) if dtype == "O" else numbers.astype(dtype)


@given(_parts)
def test_as_numpy_concatenates(parts: list[tuple[str, int, tuple[int, ...]]]) -> None:
    parts = [(dtype, rows, parts[0][2]) for dtype, rows, _ in parts]
    packed = [to_array(_made(*part)) for part in parts]
    wanted = np.concatenate([from_array(each) for each in packed])
    found = from_arrays(packed)
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_array_equal(found, wanted)


def test_what_has_no_rows_or_other_columns_is_an_error_as_ever() -> None:
    with pytest.raises(ValueError, match="zero-dimensional"):
        from_arrays([to_array(np.float32(1)), to_array(np.float32(2))])
    with pytest.raises(ValueError, match="dimension"):
        from_arrays([to_array(np.ones((1, 2))), to_array(np.ones((1, 3)))])
