from __future__ import annotations

import subprocess
import sys

import pytest

_LIGHT = """
import sys
from prodml_magics.stats.drift import detect, prepare
found = detect(prepare({"a": [1.0, 2.0], "b": ["x", "y"]}), {"a": [1.0, 2.0], "b": ["x", None]})
heavy = {"jax", "polars", "scipy", "pandas", "pyarrow", "altair", "mlflow"} & set(sys.modules)
assert not heavy, heavy
found.frame
assert "polars" in sys.modules
"""

_ALONE = """
import importlib.metadata, sys
import numpy as np

# As on a machine that has a GPU, numpy, jax and what jax itself needs, and nothing else.
present = {"numpy", "jax", "jaxlib", "scipy", "ml_dtypes", "opt_einsum", "prodml_magics"} | set(sys.stdlib_module_names)
for name in importlib.metadata.packages_distributions().keys() - present:
    sys.modules[name] = None

import jax.numpy as jnp
from prodml_magics.errors import Unavailable
from prodml_magics.stats.drift import column_detail, detect, prepare
from prodml_magics.stats.drift.joint.energy import energy_of_rows
from prodml_magics.stats.drift.joint.mmd import mmd
from prodml_magics.stats.drift.kernels import Pair
from prodml_magics.stats.drift.kernels_jax import compute_with_jax
from prodml_magics.stats.drift.sketch import sketch_columns, sketch_grid

rng = np.random.default_rng(0)
before = {"n": rng.normal(size=2_000).astype("f4"), "city": rng.choice(["Oslo", "Rome"], 2_000), "b": rng.random(2_000) < 0.3}
now = {"n": rng.normal(1, 1, 900).astype("f4"), "city": rng.choice(["Oslo", "Rome"], 900), "b": rng.random(900) < 0.3}
reference = prepare(before, calibrate=True, tables=True)
found = detect(reference, now, methods=["psi", "mmd", "classifier"])
assert found.drifted == ["n"], found.reason
assert column_detail(reference, now["city"], "city").levels
column = reference.columns["n"]
(made,) = compute_with_jax([Pair(column.values, now["n"], column.edges)])
assert abs(made.ks - found.ks[0]) < 1e-6
x, y = jnp.asarray(rng.normal(size=(60, 3)), "float32"), jnp.asarray(rng.normal(size=(50, 3)), "float32")
assert mmd(x, y, permutations=20).p_value > 0
assert energy_of_rows(x, y, permutations=20).p_value > 0
try:
    found.frame
except Unavailable as error:
    assert "pip install polars" in str(error)
else:
    raise AssertionError("frames need polars")
try:
    prepare({"note": [f"text {i}" for i in range(500)]})
except Unavailable as error:
    assert "pip install pyarrow" in str(error)
else:
    raise AssertionError("texts need pyarrow")
"""


@pytest.mark.parametrize("program", [_LIGHT, _ALONE], ids=["nothing heavy is loaded", "numpy and jax are enough"])
def test_what_the_kernels_load(program: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=120)
