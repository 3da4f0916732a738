"""The text of categories as the numbers by which a graph knows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import getitem

import numpy as np

from prodml_magics.contract.schema import CodeTable, Contract
from prodml_magics.errors import ContractError

__all__ = ["Feeds", "check_codes", "feeds_of"]

_CATEGORICAL = "categorical"
Tensors = Mapping[str, np.ndarray]
Feeds = Callable[[Tensors], dict[str, np.ndarray]]
"""Wire tensors into what the graph takes."""


def feeds_of(contract: Contract) -> Feeds | None:
    """How wire tensors become those of the graph: text [rows, k] as int64 [rows, k]; None where they are the same.

    The function raises `ContractError` for a text that the model refuses.
    """
    if not contract.codes:
        return None
    tables = [table.numbers for table in contract.codes]

    def feeds(tensors: Tensors) -> dict[str, np.ndarray]:
        return {**tensors, _CATEGORICAL: _coded(tensors[_CATEGORICAL], tables)}

    return feeds


def check_codes(tables: tuple[CodeTable, ...], text: np.ndarray) -> None:
    """Raise `ContractError` naming column and row for a text [rows, k] that the model refuses."""
    for place, table in enumerate(tables):
        if table.unseen is not None and (table.missing is not None or not table.nullable):
            continue
        numbers = table.numbers
        for row, value in enumerate(text[:, place].tolist()):
            if value not in numbers:
                _refuse(table, row, value)


def _refuse(table: CodeTable, row: int, value: str) -> None:
    try:
        table.numbers[value]
    except ContractError as error:
        what, _, advice = str(error).partition(", which")
        raise ContractError(f"{what} in row {row}, which{advice}") from None


def _coded(text: np.ndarray, tables: Sequence[Mapping[str, int]]) -> np.ndarray:
    if len(text) == 1:
        return np.array(list(map(getitem, tables, text[0].tolist())), np.int64, ndmin=2)
    codes = np.empty(text.shape, np.int64)
    for place, table in enumerate(tables):
        codes[:, place] = list(map(table.__getitem__, text[:, place].tolist()))
    return codes
