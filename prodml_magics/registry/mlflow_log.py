"""One LoggedModel that holds the model file and everything about it.

Written by MlflowClient and `save_model` alone: `mlflow.onnx.log_model` would need the process-wide tracking URI and active
run, which belong to the user's own notebook.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from prodml_magics.contract.datatypes import dtype_of
from prodml_magics.contract.schema import Contract, Tensor
from prodml_magics.errors import Unavailable
from prodml_magics.registry.mlflow_errors import Ask, load_mlflow, quiet
from prodml_magics.wire.routes import MODEL_FILES, flavor_of

__all__ = ["Logged", "log_model"]


_LOADER = "prodml_magics.registry.pyfunc"


class Logged(NamedTuple):
    """Where a model was written: its id, and the run that it belongs to."""

    model_id: str
    run_id: str


def log_model(
    ask: Ask, artifact_root: str | None, name: str, files: Mapping[str, bytes], contract: Contract, metrics: Mapping[str, float]
) -> Logged:
    """Write a run of the experiment `name` with `metrics`, and one MLflow model with `files`."""
    run = ask("create_run", _experiment(ask, name, artifact_root), run_name=name).info
    try:
        model_id = _log_files(ask, name, run, files, contract)
        _log_metrics(ask, run.run_id, metrics)
    except BaseException:
        ask("set_terminated", run.run_id, "FAILED")
        raise
    ask("set_terminated", run.run_id, "FINISHED")
    return Logged(model_id, run.run_id)


def _experiment(ask: Ask, name: str, artifact_root: str | None) -> str:
    """The id of the experiment `name`, its artifacts below `artifact_root` where we keep the store."""
    found = ask("get_experiment_by_name", name)
    if found is None:
        location = None if artifact_root is None else (Path(artifact_root).absolute() / name).as_uri()
        ask.unless_there("create_experiment", name, location)
        found = ask("get_experiment_by_name", name)
    if found.lifecycle_stage != "active":
        raise Unavailable(f"the MLflow experiment {name!r} was deleted; restore it with mlflow experiments restore")
    return str(found.experiment_id)


def _log_files(ask: Ask, name: str, run: Any, files: Mapping[str, bytes], contract: Contract) -> str:
    """Write an MLflow model into a folder, our files beside it and their exact bytes over it, and log the folder."""
    mlflow = load_mlflow()
    model_id = ask("create_logged_model", run.experiment_id, name, run.run_id).model_id
    with tempfile.TemporaryDirectory(prefix="prodml-") as temporary:
        folder = Path(temporary) / "model"
        record = mlflow.models.Model(model_id=model_id, run_id=run.run_id)
        if flavor_of(files) == "python":
            _save_python(mlflow, folder, files, contract, record)
        else:
            _save(mlflow, folder, files["model.onnx"], contract, record)
        for file, data in files.items():
            (folder / file).write_bytes(data)
        ask("log_model_artifacts", model_id, str(folder))
    ask("finalize_logged_model", model_id, "READY")
    ask("log_outputs", run.run_id, [mlflow.entities.LoggedModelOutput(model_id, 0)])
    return str(model_id)


def _save(mlflow: Any, folder: Path, model: bytes, contract: Contract, record: Any) -> None:
    import onnx

    graph = onnx.load_model_from_string(model)
    with quiet():
        mlflow.onnx.save_model(
            graph,
            str(folder),
            mlflow_model=record,
            signature=_signature(mlflow, contract),
            pip_requirements=["onnxruntime", "numpy", *(["prodml-magics"] if contract.codes else [])],
            save_as_external_data=False,
        )
        if contract.codes:  # MLflow's own loader would want the numbers of levels
            mlflow.pyfunc.add_to_model(record, loader_module=_LOADER)
            record.save(str(folder / "MLmodel"))


def _save_python(mlflow: Any, folder: Path, files: Mapping[str, bytes], contract: Contract, record: Any) -> None:
    """A pyfunc whose code is ours: MLflow's own loader then answers as the gateway does."""
    with tempfile.TemporaryDirectory(prefix="prodml-") as temporary, quiet():
        for file in (MODEL_FILES["python"], "contract.json"):
            (Path(temporary) / file).write_bytes(files[file])
        mlflow.pyfunc.save_model(
            str(folder),
            loader_module=_LOADER,
            data_path=temporary,
            mlflow_model=record,
            signature=_signature(mlflow, contract),
            pip_requirements=["prodml-magics", "cloudpickle", "scikit-learn"],
        )


def _signature(mlflow: Any, contract: Contract) -> Any:
    """The wire tensors in MLflow's words."""
    from mlflow.types import Schema, TensorSpec

    def schema(tensors: tuple[Tensor, ...]) -> Any:
        return Schema([TensorSpec(_spec_dtype(tensor), tensor.shape, tensor.name) for tensor in tensors])

    return mlflow.models.ModelSignature(schema(contract.inputs), schema(contract.outputs))


def _spec_dtype(tensor: Tensor) -> np.dtype:
    return np.dtype(np.str_) if tensor.datatype == "BYTES" else dtype_of(tensor.datatype)


def _log_metrics(ask: Ask, run_id: str, metrics: Mapping[str, float]) -> None:
    mlflow = load_mlflow()
    now = int(time.time() * 1000)
    ask("log_batch", run_id, [mlflow.entities.Metric(key, value, now, 0) for key, value in metrics.items()])
