"""MLflow's way to a trusted Python model: ``mlflow.pyfunc.load_model`` gives something that answers as the gateway does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from prodml_magics.contract.encode import encode_columns
from prodml_magics.contract.schema import read_contract
from prodml_magics.registry.bundle import read_bundle
from prodml_magics.registry.frames import columns_of
from prodml_magics.wire.routes import MODEL_FILES

__all__ = ["PythonModel"]


class PythonModel:
    """A bundle opened in this process; MLflow asks before it loads code, as it does for its own pickles."""

    def __init__(self, folder: Path) -> None:
        self._contract = read_contract((folder / "contract.json").read_bytes())
        self._answering = read_bundle((folder / MODEL_FILES["python"]).read_bytes(), self._contract)

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> dict[str, np.ndarray]:
        """The outputs by name, each [rows] or [rows, k]; `model_input` is a table of the contract's columns, or wire tensors."""
        if isinstance(model_input, dict) and set(model_input) == {tensor.name for tensor in self._contract.inputs}:
            tensors = {name: np.asarray(values) for name, values in model_input.items()}
        else:
            tensors = encode_columns(self._contract, columns_of(model_input, [c.name for c in self._contract.columns]))
        return self._answering.answer(self._contract, tensors)


def _load_pyfunc(path: str) -> PythonModel:
    """MLflow calls this with the folder that was saved."""
    return PythonModel(Path(path))
