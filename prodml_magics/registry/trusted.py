"""The process that answers for a Python model: ``python -m prodml_magics.registry.trusted``, started by whoever serves it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import numpy as np

from prodml_magics.contract.schema import read_contract
from prodml_magics.inference.messages import Start
from prodml_magics.inference.worker import answer_for
from prodml_magics.registry.bundle import read_bundle

__all__ = ["MODULE", "main"]

MODULE = "prodml_magics.registry.trusted"
Tensors = Mapping[str, np.ndarray]


def main() -> None:
    """Answer until the other side closes."""
    warnings.simplefilter("ignore")  # encoders warn of unseen categories with every row
    answer_for(_load)


def _load(start: Start) -> tuple[Callable[[Tensors], Tensors], str]:
    known = read_contract(start.contract)
    answering = read_bundle(start.model, known)
    return lambda tensors: answering.answer(known, tensors), "cpu"


if __name__ == "__main__":
    main()
