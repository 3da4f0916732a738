"""MLflow's way to a trusted Python model, or one whose categories are numbers in the graph: ``mlflow.pyfunc.load_model`` gives
something that answers as the gateway does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from prodml_magics.contract.check import check_tensors
from prodml_magics.contract.codes import feeds_of
from prodml_magics.contract.encode import encode_columns
from prodml_magics.contract.schema import Contract, read_contract
from prodml_magics.inference.fed import fed
from prodml_magics.inference.session import open_session
from prodml_magics.registry.bundle import read_bundle
from prodml_magics.registry.frames import columns_of
from prodml_magics.wire.routes import MODEL_FILES

__all__ = ["CodedModel", "PythonModel"]


class PythonModel:
    """A bundle opened in this process; MLflow asks before it loads code, as it does for its own pickles."""

    def __init__(self, folder: Path) -> None:
        self._contract = read_contract((folder / "contract.json").read_bytes())
        self._answering = read_bundle((folder / MODEL_FILES["python"]).read_bytes(), self._contract)

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> dict[str, np.ndarray]:
        """The outputs by name, each [rows] or [rows, k]; `model_input` is a table of the contract's columns, or wire tensors."""
        return self._answering.answer(self._contract, _wire_tensors(self._contract, model_input))


class CodedModel:
    """An ONNX file that takes the numbers of levels, opened in this process on the CPU behind the tables of its contract."""

    def __init__(self, folder: Path) -> None:
        self._contract = read_contract((folder / "contract.json").read_bytes())
        session = open_session((folder / MODEL_FILES["onnx"]).read_bytes(), device="cpu")
        self._runner = fed(session, feeds_of(self._contract))

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> dict[str, np.ndarray]:
        """As `PythonModel.predict`; `ContractError` for a level that the model refuses."""
        tensors = _wire_tensors(self._contract, model_input)
        check_tensors(self._contract, tensors)
        return self._runner.run(tensors)


def _wire_tensors(contract: Contract, given: Any) -> dict[str, np.ndarray]:
    """Wire tensors of a table of the contract's columns, or of tensors by name, text in whatever dtype numpy has it."""
    if isinstance(given, dict) and set(given) == {tensor.name for tensor in contract.inputs}:
        arrays = {name: np.asarray(values) for name, values in given.items()}
        return {name: values.astype(object) if values.dtype.kind in "UT" else values for name, values in arrays.items()}
    return encode_columns(contract, columns_of(given, [column.name for column in contract.columns]))


def _load_pyfunc(path: str) -> PythonModel | CodedModel:
    """MLflow calls this with the folder that was saved."""
    folder = Path(path)
    return PythonModel(folder) if (folder / MODEL_FILES["python"]).exists() else CodedModel(folder)
