"""The answer that a team declares for when no version can answer: one row of outputs, from what a person types."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from prodml_magics.contract.datatypes import dtype_of
from prodml_magics.contract.schema import Contract, Tensor
from prodml_magics.errors import InvalidInput, first_line

__all__ = ["default_row"]

_EXAMPLE = """write JSON, such as '{"label": 0, "probabilities": [0.9, 0.1]}', or a class or number alone"""


_KINDS = {"b": "b", "i": "iu", "u": "iu", "f": "iuf", "O": "U"}
"""Kinds of JSON values, as numpy calls them, that an output of each kind may have."""


def default_row(contract: Contract, text: str) -> dict[str, np.ndarray]:
    """The outputs [1, …] by name that `text` says: an object of all of them, or for a classifier the class, else the number, alone.

    A class alone has probability 1. Raises `InvalidInput` for what is no answer of this contract.
    """
    try:
        said = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise InvalidInput(f"--default {text[:80]!r} is not JSON ({first_line(error)}); {_EXAMPLE}") from error
    values = said if isinstance(said, dict) else _spelled_out(contract, said)
    missing = [tensor.name for tensor in contract.outputs if tensor.name not in values]
    extra = values.keys() - {tensor.name for tensor in contract.outputs}
    if missing or extra:
        wrong = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(sorted(extra))}"
        names = ", ".join(tensor.name for tensor in contract.outputs)
        raise InvalidInput(f"--default {wrong}; the outputs of this model are {names}")
    return {tensor.name: _value(tensor, values[tensor.name], contract) for tensor in contract.outputs}


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _spelled_out(contract: Contract, said: Any) -> Mapping[str, Any]:
    names = [tensor.name for tensor in contract.outputs]
    if contract.task == "classification" and contract.classes and names == ["label", "probabilities"]:
        if said not in contract.classes:
            raise InvalidInput(f"--default {said!r} is no class of this model; its classes are {_listed(contract.classes)}")
        return {"label": said, "probabilities": [float(each == said) for each in contract.classes]}
    if len(names) == 1:
        return {names[0]: said}
    raise InvalidInput(f"--default must say all outputs of this model ({', '.join(names)}); {_EXAMPLE}")


def _value(tensor: Tensor, said: Any, contract: Contract) -> np.ndarray:
    dtype = dtype_of(tensor.datatype)
    inner = tensor.shape[1:]
    try:
        given = np.asarray(said)
    except ValueError as error:  # ragged
        raise InvalidInput(f"--default {tensor.name} has rows of unequal length; it must be {list(inner)}") from error
    if given.dtype.kind not in _KINDS[dtype.kind]:
        raise InvalidInput(f"--default {tensor.name} is not {tensor.datatype}; {_EXAMPLE}")
    with np.errstate(over="ignore"):  # what is too large is infinite then, and refused below
        value = np.asarray(said, dtype=object) if dtype == np.object_ else given.astype(dtype)
    if dtype.kind in "iu" and (value != given).any():
        raise InvalidInput(f"--default {tensor.name} is beyond {tensor.datatype}")
    value = value.reshape(1, *value.shape) if value.ndim < len(inner) + 1 else value
    if value.ndim == 1 and len(inner) == 1 and inner[0] == 1:
        value = value.reshape(1, 1)
    if value.ndim != len(inner) + 1 or any(want >= 0 and have != want for have, want in zip(value.shape[1:], inner, strict=True)):
        raise InvalidInput(f"--default {tensor.name} has shape {list(value.shape[1:])}; it must be {list(inner)}")
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise InvalidInput(f"--default {tensor.name} must be finite numbers of {tensor.datatype}")
    if tensor.name == "label" and contract.classes and not all(each in contract.classes for each in value.ravel().tolist()):
        raise InvalidInput(f"--default label {said!r} is no class of this model; its classes are {_listed(contract.classes)}")
    if tensor.name == "probabilities" and not math.isclose(float(value.sum()), 1.0, abs_tol=1e-3):
        raise InvalidInput(f"--default probabilities sum to {float(value.sum()):g}; they must sum to 1")
    return value


def _listed(classes: tuple[str | int | float, ...]) -> str:
    return ", ".join(map(repr, classes[:10])) + (" …" if len(classes) > 10 else "")
