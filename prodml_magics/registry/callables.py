"""A plain Python function over frames, or an object with ``predict``, as a model: a heuristic, a rule, another library's estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from prodml_magics.contract.encode import decode_columns
from prodml_magics.contract.schema import Column, Contract
from prodml_magics.errors import InvalidInput
from prodml_magics.registry.frames import frame_kind, rebuild

__all__ = ["CallableReference", "callable_task", "is_callable_model"]

CallableTask = Literal["classification", "regression", "other"]


def is_callable_model(model: Any) -> bool:
    """Whether `model` can be asked: a function, or an object with ``predict``; a class is neither."""
    return not isinstance(model, type) and (hasattr(model, "predict") or callable(model))


def callable_task(answer: Any, wanted: str) -> CallableTask:
    """What a function does: as `wanted`, or by what it returned: text and booleans are labels, numbers are predictions."""
    if wanted != "auto":
        return wanted  # type: ignore[return-value]
    if isinstance(answer, Mapping):
        return "classification" if "label" in answer else "regression" if "prediction" in answer else "other"
    return "regression" if np.asarray(answer).dtype.kind in "iuf" else "classification"


class CallableReference:
    """The function, asked by wire tensors.

    It gets a polars frame with the columns of the contract (a pandas frame when the training rows were one) and returns one value
    for each row, or a mapping of output names to arrays [rows] or [rows, k].
    """

    kind = "callable"
    role = None

    def __init__(self, model: Any, task: str, columns: Sequence[Column], rows: Any, outputs: Sequence[str] = ()) -> None:
        self.model = model
        self.task = task
        self.outputs = tuple(outputs)
        """Names in the order of the first answer; empty before it."""
        self._dtypes = {column.name: column.dtype for column in columns}
        self._like = rows if frame_kind(rows) == "pandas" else _empty_polars()

    def parts(self) -> dict[str, Any]:
        """What another process needs to answer as this one does."""
        like = self._like.iloc[:0] if frame_kind(self._like) == "pandas" else self._like
        return {"model": self.model, "task": self.task, "like": like, "outputs": self.outputs}

    def table(self, contract: Contract, tensors: Mapping[str, np.ndarray]) -> Any:
        """The rows of `tensors` as the function wants them."""
        return rebuild(decode_columns(contract, tensors), self._like, self._dtypes)

    def answer(self, contract: Contract, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name; raises `InvalidInput` for an answer of another shape, and what the function itself raises."""
        rows = len(next(iter(tensors.values())))
        given = self.ask(self.table(contract, tensors))
        found = given if isinstance(given, Mapping) else {"label" if self.task == "classification" else "prediction": given}
        return {str(name): _output(str(name), values, rows) for name, values in found.items()}

    def ask(self, frame: Any) -> Any:
        """What the function returns for `frame`."""
        return self.model.predict(frame) if hasattr(self.model, "predict") else self.model(frame)


def _output(name: str, values: Any, rows: int) -> np.ndarray:
    array = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1 and name in ("label", "prediction"):
        array = array[:, 0]
    if array.ndim == 0 or len(array) != rows:
        raise InvalidInput(f"{name} has shape {list(array.shape)} for {rows} rows; return one value for each row")
    if array.dtype.kind in "OUT":
        return np.array([str(value) for value in array.ravel().tolist()], object).reshape(array.shape)
    if array.dtype.kind == "b" or (name == "label" and array.dtype.kind in "iu"):
        return array.astype(np.int64)
    if array.dtype.kind in "iuf":
        return array.astype(np.float64)
    raise InvalidInput(f"{name} is of dtype {array.dtype.name}; return numbers, text or booleans")


def _empty_polars() -> Any:
    import polars

    return polars.DataFrame()
