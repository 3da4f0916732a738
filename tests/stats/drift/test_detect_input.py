from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from prodml_magics.errors import InvalidInput, Unavailable
from prodml_magics.stats.drift import Tolerances, detect, prepare
from prodml_magics.stats.drift.columns import as_numbers
from prodml_magics.stats.drift.comparison import aligned
from prodml_magics.stats.drift.detect import _run
from prodml_magics.stats.drift.device import Backend, choose
from prodml_magics.stats.drift.kernels_jax import compute_with_jax, fits_jax
from prodml_magics.stats.drift.reference import NumericColumn


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ({"ages": [1.0]}, "no column is on both sides: the reference has 'age'; now has 'ages'; rename"),
        ({}, "no column is on both sides: the reference has 'age'; now has none"),
        ({"age": np.ones((2, 2, 2))}, "column 'age' has shape \\(2, 2, 2\\)"),
        (np.ones((5, 2)), "2 columns for 1 names"),
        (np.ones(5), "an array of shape \\(5,\\) has no columns"),
    ],
)
def test_input_that_does_not_fit_is_refused_by_name(x: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        detect(prepare({"age": [1.0, 2.0]}), x)


def test_only_the_columns_that_are_picked_are_told() -> None:
    reference = prepare({"a": [1.0, 2.0], "b": [1.0, 2.0]})
    assert detect(reference, {"a": [1.0], "z": [1.0]}, columns=["a"]).names == ("a",)
    found = detect(reference, {"a": [1.0], "z": [1.0]}, columns=["z", "b"])
    assert found.frame.select("column", "reason").rows() == [("b", "column vanished"), ("z", "new column")]
    with pytest.raises(InvalidInput, match=r"neither side has a column 'zz'; did you mean 'z'\?"):
        detect(reference, {"a": [1.0], "z": [1.0]}, columns=["zz"])


@pytest.mark.parametrize("limits", [{"numeric": -0.1}, {"categorical": 1.0}, {"missing": math.nan}])
def test_tolerances_are_shares(limits: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match="tolerance"):
        Tolerances(**limits)


def test_alpha_is_a_share() -> None:
    with pytest.raises(InvalidInput, match="alpha is 5"):
        detect(prepare({"a": [1.0]}), {"a": [1.0]}, alpha=5)


def test_a_gpu_that_is_not_there_is_an_error_that_says_what_is_missing() -> None:
    try:
        choose("gpu", 10)
    except Unavailable as error:
        assert "GPU" in str(error)
        with pytest.raises(Unavailable, match="no GPU for drift"):
            detect(prepare({"a": [1.0]}), {"a": [1.0]}, device="gpu")
    else:
        assert detect(prepare({"a": [1.0]}), {"a": [1.0]}, device="gpu").device == "gpu"


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(InvalidInput, match="unknown device 'tpu'"):
        detect(prepare({"a": [1.0]}), {"a": [1.0]}, device="tpu")  # type: ignore[arg-type]


def test_columns_that_a_device_cannot_hold_are_computed_on_the_cpu_and_said_so() -> None:
    rng = np.random.default_rng(0)
    reference = prepare(
        {"plain": rng.normal(size=500).astype("f4"), "offset": 1e9 + rng.normal(size=500), "id": 2**60 + np.arange(500)}
    )
    now = {"plain": rng.normal(1, 1, 300).astype("f4"), "offset": 1e9 + rng.normal(1, 1, 300), "id": 2**60 + np.arange(300)}
    columns = {name: column for name, column in reference.columns.items() if isinstance(column, NumericColumn)}
    pairs = {(name, ""): aligned(columns[name], as_numbers(name, values)) for name, values in now.items()}
    found, where = _run(Backend("gpu", compute_with_jax, fits_jax), pairs)
    assert where == "gpu; 2 columns beyond float32 on cpu"
    expected = detect(reference, now, device="cpu")
    np.testing.assert_allclose([found[name, ""].ks for name in expected.names], expected.ks, atol=1e-6)
    np.testing.assert_allclose([found[name, ""].wasserstein for name in expected.names], expected.wasserstein, rtol=1e-5)
