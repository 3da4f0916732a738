"""Shapes in signatures are true of what is computed, and of nothing else: calls under jaxtyping's import hook, and without jaxtyping."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_CHECKED = """
import importlib
import laws.shape_checker
from jaxtyping import TypeCheckError, install_import_hook

with install_import_hook("prodml_magics.stats.drift", "laws.shape_checker.checked"):
    names = "anderson_darling chi_squared cramer_von_mises cramers_v energy_distance kernels kernels_jax"
    names += " ks moments monte_carlo statistics support total_variation wasserstein"
    names += " joint.classifier joint.energy joint.mmd joint.pca joint.permutation"
    room = {name: importlib.import_module(f"prodml_magics.stats.drift.{name}") for name in names.split()}

import jax.numpy as jnp
import numpy as np


def of(module, name=None):
    return getattr(room[module], name or module)


def refused(function, *given, **named):
    try:
        function(*given, **named)
    except TypeCheckError:
        return
    raise AssertionError(f"{function.__module__}.{function.__name__} took {[getattr(each, 'shape', each) for each in given]}")


rng = np.random.default_rng(0)

# Counts [..., bins] of the whole table: one pair or many; the bins of both sides must agree, and be counts.
table = [each for each in of("statistics", "STATISTICS").values() if each.categorical]
for function in {each for row in table for each in (row.categorical, row.value) if each}:
    before, now, many = np.array([30, 40, 50]), np.array([31, 38, 55]), np.array([[30, 40, 50], [3, 4, 5]])
    assert function(before, now).shape == () and function(many, now).shape == (2,), function
    if function is of("cramers_v"):
        refused(function, jnp.asarray(before), jnp.asarray(now))
    else:
        assert function(jnp.asarray(before), jnp.asarray(now)).shape == (), function
    for asarray in (np.asarray, jnp.asarray):
        refused(function, asarray(before), asarray(now[:2]))
        refused(function, asarray(many), asarray(many[:, :2]))
        refused(function, asarray(before.astype("f4")), asarray(now))
    refused(function, [30, 40, 50], now)
before, now = np.array([30, 40, 50]), np.array([31, 38, 55])
for module, name in (("chi_squared", "contingency"), ("monte_carlo", "monte_carlo_p_value"), ("monte_carlo", "small_counts_p_value")):
    of(module, name)(before, now)
    refused(of(module, name), before, now[:2])
    refused(of(module, name), before[None], now[None])
of("total_variation", "total_variation_bias")(before, now, 120, 124)
refused(of("total_variation", "total_variation_bias"), before, now[:2], 120, 124)

# Samples: sizes may differ, axes may not, nor may they be texts or JAX's where NumPy's are named.
x, y, edges = np.sort(rng.normal(size=50)), np.sort(rng.normal(size=40)), np.array([-1.0, 0.0, 1.0])
for name, function in (("ks", of("ks", "ks_distance")), ("wasserstein", of("wasserstein"))):
    assert function(x, y) > 0
    assert function(np.arange(5), np.arange(7)) > 0
    refused(function, x, y[:, None])
    refused(function, x, jnp.asarray(y))
    refused(function, x, y.astype("U8"))
of("kernels", "quartiles")(x)
refused(of("kernels", "quartiles"), x[None])
refused(of("support", "pooled"), x, y, edges[None])

# Supports: both sides count at the same points.
support = of("support", "pooled")(x, y, edges)
many = support._replace(before=np.stack([support.before, support.now]), now=np.stack([support.now, support.before]))
short = support._replace(now=support.now[:-1])
for module, name in (
    ("cramer_von_mises", "cramer_von_mises"), ("cramer_von_mises", "root_mean_squared_gap"), ("energy_distance", "energy_distance"),
    ("anderson_darling", "anderson_darling"), ("anderson_darling", "anderson_darling_effect"),
):
    assert of(module, name)(support).shape == () and of(module, name)(many).shape == (2,), name
    refused(of(module, name), short)
for name in ("mean_shift", "spread_ratio", "quantile_shift"):
    assert of("moments", name)(support).shape == () and of("moments", name)(many).shape == (2,), name

# Kernels: what they hand on to the statistics is checked there.
Pair = of("kernels", "Pair")
for compute, dtype in ((of("kernels", "compute_with_numpy"), "f8"), (of("kernels_jax", "compute_with_jax"), "f4")):
    (found,) = compute([Pair(x.astype(dtype), y.astype(dtype), edges.astype(dtype))])
    assert found.counts.shape == (4,)
    refused(compute, [Pair(x[:, None].astype(dtype), y.astype(dtype), edges.astype(dtype))])

# Rows [n, columns] and [m, columns]: as many columns on both sides.
x, y = rng.normal(size=(24, 3)).astype("f4"), rng.normal(size=(20, 3)).astype("f4")
for module, name in (("mmd", "mmd"), ("energy", "energy_of_rows")):
    function = of(f"joint.{module}", name)
    for asarray in (np.asarray, jnp.asarray):
        assert 0 < function(asarray(x), asarray(y), permutations=5).p_value <= 1
        refused(function, asarray(x), asarray(y[:, :2]), permutations=5)
        refused(function, asarray(x), asarray(y[0]), permutations=5)
for module, name in (("mmd", "mmd_linear"), ("pca", "reconstruction_shift"), ("classifier", "classifier_test")):
    function = of(f"joint.{module}", name)
    assert 0 < function(x, y).p_value <= 1
    refused(function, x, y[:, :2])
    refused(function, x, jnp.asarray(y))
rows, members = np.concatenate([x, y]), of("joint.permutation", "memberships")(24, 20, 5, 0)
assert of("joint.mmd", "mmd_statistics")(rows, 1.0, members).shape == (6,)
assert of("joint.energy", "energy_statistics")(rows, members)[1].shape == (6,)
refused(of("joint.mmd", "mmd_statistics"), rows, 1.0, members[:-1])
refused(of("joint.energy", "energy_statistics"), rows, members[:-1])
refused(of("joint.permutation", "pair_sums"), rows, members)
refused(of("joint.classifier", "area_under_curve"), rows, rows[:, 0])
"""

_BARE = """
import sys
sys.modules["jaxtyping"] = None
from typing import Any, get_type_hints
import numpy as np
from prodml_magics.stats.drift import detect, prepare
from prodml_magics.stats.drift import kernels_jax
from prodml_magics.stats.drift.joint.mmd import mmd
from prodml_magics.stats.drift.psi import psi

assert psi(np.array([5, 5]), np.array([8, 2])) > 0
assert detect(prepare({"a": np.arange(90.0)}), {"a": np.arange(90.0) + 80}).drifted == ["a"]
assert get_type_hints(psi) == dict.fromkeys(("reference", "current", "return"), Any)
assert get_type_hints(mmd)["x"] is Any
"""

_UNASKED = """
import sys
import prodml_magics.stats.drift
assert "jaxtyping" not in sys.modules
"""


@pytest.mark.parametrize(
    "program",
    [_CHECKED, _BARE, _UNASKED],
    ids=["every call has the shapes that its signature states", "jaxtyping is not needed", "jaxtyping is not loaded unasked"],
)
def test_shapes(program: str) -> None:
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr[-4_000:]
