"""Where to compute: chosen once per call, reported with the result, and never changed in silence."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Literal, NamedTuple

from prodml_magics.errors import InvalidInput, Unavailable, first_line
from prodml_magics.stats.drift.kernels import Kernel, Pair, compute_with_numpy

__all__ = ["Backend", "Device", "choose"]

Device = Literal["auto", "cpu", "gpu"]

_PLUGINS = ("jax_cuda13_plugin", "jax_cuda12_plugin", "jax_rocm7_plugin", "jax_rocm60_plugin")

_WORTH_A_GPU = 2_000_000
"""Values below which loading JAX and moving the data would take longer than numpy takes to finish."""


class Backend(NamedTuple):
    """`name` is reported as the device; columns that it does not accept are computed on the CPU, and the report counts them."""

    name: str
    kernel: Kernel
    accepts: Callable[[Pair], bool]


def choose(device: Device, values: int) -> Backend:
    """The backend for that many values: numpy on the CPU, or JAX on a GPU; jax is imported only when a GPU may be there.

    ``auto`` takes a GPU where there is one and the work is large enough. Raises Unavailable for ``gpu`` where there is none.
    """
    if device == "cpu" or (device == "auto" and (values < _WORTH_A_GPU or not _has_plugin())):
        return Backend("cpu", compute_with_numpy, _any_column)
    if device not in ("auto", "gpu"):
        raise InvalidInput(f"unknown device '{device}'; choose auto, cpu or gpu")
    problem = _gpu_problem()
    if not problem:
        from prodml_magics.stats.drift.kernels_jax import compute_with_jax, fits_jax

        return Backend("gpu", compute_with_jax, fits_jax)
    if device == "auto":
        return Backend("cpu", compute_with_numpy, _any_column)
    raise Unavailable(f"no GPU for drift: {problem}")


def _any_column(pair: Pair) -> bool:
    return True


def _has_plugin() -> bool:
    return any(find_spec(plugin) for plugin in _PLUGINS)


def _gpu_problem() -> str:
    """Why JAX cannot compute on a GPU here; empty when it can."""
    if not _has_plugin():
        return "JAX has no GPU plugin; pip install 'prodml-magics[gpu]', or leave out --device gpu"
    import jax

    try:
        jax.devices("gpu")
    except RuntimeError as error:
        return f"JAX sees no GPU ({first_line(error)}); check the driver with nvidia-smi, or leave out --device gpu"
    if jax.default_backend() != "gpu":
        return f"JAX is set to {jax.default_backend()}; unset JAX_PLATFORMS, or leave out --device gpu"
    return ""
