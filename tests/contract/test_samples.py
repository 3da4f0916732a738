from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from prodml_magics.contract.samples import read_samples, write_samples


@given(hnp.arrays(st.sampled_from([np.float32, np.float64]), (3, 2), elements={"allow_infinity": False}))
def test_floats_come_back_to_the_bit(array):
    back = read_samples(write_samples({"input": array}, {"prediction": array[:, 0]}))
    np.testing.assert_array_equal(back.inputs["input"], array)
    assert back.inputs["input"].dtype == array.dtype
    assert back.outputs["prediction"].shape == (3,)


def test_text_and_integers_come_back():
    text = np.array([["a", ""], ["ü", "b"]], object)
    back = read_samples(write_samples({"categorical": text}, {"label": np.array([1, -(2**62)])}))
    assert back.inputs["categorical"].tolist() == text.tolist()
    assert back.outputs["label"].tolist() == [1, -(2**62)]


def test_another_file_is_refused():
    with pytest.raises(msgspec.ValidationError):
        read_samples(b'{"inputs": 3}')
