"""Numbers in types narrower than those that are served: a step that computes in them rounds and overflows as no other would."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from prodml_magics.contract.encode import encode_columns
from prodml_magics.contract.schema import Contract
from prodml_magics.errors import Unsupported
from prodml_magics.registry.frames import frame_kind
from prodml_magics.registry.reference import Reference
from prodml_magics.registry.roles import reference_answers

__all__ = ["check_narrow"]

_ROWS = 500
_RELATIVE, _ABSOLUTE = 1e-6, 1e-9


def check_narrow(reference: Reference, contract: Contract, columns: Mapping[str, np.ndarray], rows: Any) -> None:
    """Raise `Unsupported` where the model answers otherwise to training rows as they are than to the numbers that are served.

    `columns` are those of `rows`; some rows are asked, and none where no column is of a narrow type.
    """
    narrow = {name: values.dtype for name, values in columns.items() if _is_narrow(values.dtype)}
    if not narrow:
        return
    count = len(next(iter(columns.values())))
    chosen = np.unique(np.linspace(0, count - 1, min(count, _ROWS)).astype(np.intp))
    served = reference.answer(contract, encode_columns(contract, {name: values[chosen] for name, values in columns.items()}))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of overflow, which is what is looked for
        given = reference_answers(reference.model, reference.role, _taken(rows, chosen))
    if not all(_alike(given[name], served[name]) for name in served):
        name, dtype = next(iter(narrow.items()))
        held = f"column {name!r} holds" if len(narrow) == 1 else f"columns {name!r} and {len(narrow) - 1} more hold"
        raise Unsupported(
            f"the model answers otherwise to {dtype} numbers, as {held} them, than to the same numbers as they are served: "
            "a step computes in that type, which rounds or overflows; cast such columns to float64 and fit it again"
        )


def _is_narrow(dtype: np.dtype[Any]) -> bool:
    return (dtype.kind in "iu" and dtype.itemsize < 8) or dtype == np.float16


def _taken(rows: Any, chosen: np.ndarray) -> Any:
    kind = frame_kind(rows)
    if kind == "pandas":
        return rows.iloc[chosen]
    return rows[chosen] if kind == "polars" else np.asarray(rows)[chosen]


def _alike(given: np.ndarray, served: np.ndarray) -> bool:
    if given.dtype.kind != "f":
        return bool(np.array_equal(given, served))
    return np.allclose(given, served, rtol=_RELATIVE, atol=_ABSOLUTE, equal_nan=True)
