"""The classification extension: the k largest values of an output as texts ``value:index:label``.

Source: the classification extension that Triton documents for the Open Inference Protocol v2.
"""

from __future__ import annotations

import numpy as np

from prodml_magics.contract.schema import Contract, Tensor
from prodml_magics.errors import InvalidInput

__all__ = ["check_classes", "classified"]


def check_classes(tensor: Tensor, count: int) -> None:
    """Raise `InvalidInput` where the `count` largest values of output `tensor` cannot be given."""
    if count < 1:
        raise InvalidInput(f"output {tensor.name!r}: classification is {count}; ask for 1 class or more")
    if tensor.datatype in ("BYTES", "BOOL"):
        raise InvalidInput(
            f"output {tensor.name!r} is {tensor.datatype} and has no order; ask for classes of an output of numbers"
        )


def classified(values: np.ndarray, count: int, contract: Contract) -> np.ndarray:
    """``value:index`` of the `count` largest values of each row, largest first: object array of str [rows, at most count].

    Ties go to the lower index, NaN comes last. ``:label`` follows where the row has one value per class of the contract.
    """
    table = values.reshape(len(values), -1).astype(np.float64)
    order = np.argsort(-table, axis=1, kind="stable")[:, :count]
    labels = [f":{label}" for label in contract.classes] if table.shape[1] == len(contract.classes) else [""] * table.shape[1]
    found = np.empty(order.shape, object)
    found[...] = [[f"{row[index]:f}:{index}{labels[index]}" for index in best] for row, best in zip(table, order, strict=True)]
    return found
