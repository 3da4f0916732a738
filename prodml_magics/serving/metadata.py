"""What server and models say of themselves, as the Open Inference Protocol v2 names it; the same for REST and gRPC."""

from __future__ import annotations

from importlib.metadata import version as package_version
from typing import Any

from prodml_magics.contract.schema import Contract, Tensor

__all__ = ["EXTENSIONS", "model_config", "model_metadata", "model_parameters", "server_metadata"]

EXTENSIONS = ("binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics")
_BACKENDS = {"onnx_onnxv1": "onnxruntime", "python": "python"}


def server_metadata() -> dict[str, Any]:
    """Name, version and the extensions of the protocol that are served."""
    return {"name": "prodml", "version": package_version("prodml-magics"), "extensions": list(EXTENSIONS)}


def model_metadata(model: str, versions: list[int], contract: Contract, platform: str) -> dict[str, Any]:
    """Tensors of a model and the versions that can be asked for."""
    return {
        "name": model,
        "versions": [str(version) for version in versions],
        "platform": platform,
        "inputs": [_tensor(tensor) for tensor in contract.inputs],
        "outputs": [_tensor(tensor) for tensor in contract.outputs],
    }


def model_parameters(contract: Contract) -> dict[str, Any]:
    """What the protocol has no field for."""
    columns = [column.name for column in contract.columns]
    return {"columns": columns, "classes": list(contract.classes), "task": contract.task}


def model_config(model: str, contract: Contract, batch_rows: int, platform: str) -> dict[str, Any]:
    """The configuration as far as clients read it: with a batch axis everywhere, dimensions are those of one row."""
    batched = all(tensor.shape[:1] == (-1,) for tensor in (*contract.inputs, *contract.outputs))
    return {
        "name": model,
        "platform": platform,
        "backend": _BACKENDS[platform],
        "max_batch_size": batch_rows if batched else 0,
        "input": [_configured(tensor, batched) for tensor in contract.inputs],
        "output": [_configured(tensor, batched) for tensor in contract.outputs],
    }


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}


def _configured(tensor: Tensor, batched: bool) -> dict[str, Any]:
    kind = "STRING" if tensor.datatype == "BYTES" else tensor.datatype
    # A row of one value has no dimension left; the configuration writes it as [1].
    return {"name": tensor.name, "data_type": f"TYPE_{kind}", "dims": list(tensor.shape[batched:]) or [1]}
