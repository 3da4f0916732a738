"""Real ONNX models on disk, as a deploy leaves them."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

from prodml_magics.contract.infer import infer_columns
from prodml_magics.contract.samples import write_samples
from prodml_magics.contract.schema import Contract, Tensor, write_contract
from prodml_magics.inference.session import open_session
from prodml_magics.wire.routes import VersionFiles


@dataclass
class Placed:
    """A version whose files lie in a home."""

    home: Path
    model: Any
    contract: Contract
    files: VersionFiles
    rows: np.ndarray


def place(home: Path, name: str, version: int, *, c: float = 1.0) -> Placed:
    """Train, convert and lay down a logistic regression on the breast cancer data."""
    data = load_breast_cancer()
    rows = data.data.astype(np.float32)
    model = LogisticRegression(C=c, max_iter=20_000).fit(rows, data.target)
    converted = _convert(model, rows.shape[1])
    columns = infer_columns({str(column): rows[:, index] for index, column in enumerate(data.feature_names)})
    contract = Contract(
        task="classification",
        columns=columns,
        inputs=(Tensor(name="input", datatype="FP32", shape=(-1, rows.shape[1])),),
        outputs=(
            Tensor(name="label", datatype="INT64", shape=(-1,)),
            Tensor(name="probabilities", datatype="FP32", shape=(-1, 2)),
        ),
        classes=(0, 1),
    )
    folder = home / "models" / name / str(version)
    folder.mkdir(parents=True)
    written = {"model.onnx": converted, "contract.json": write_contract(contract)}
    outputs = open_session(converted).run({"input": rows[:5]})
    written["samples.json"] = write_samples({"input": rows[:5]}, outputs)
    for file, content in written.items():
        (folder / file).write_bytes(content)
    digest = {file: hashlib.sha256(content).hexdigest() for file, content in written.items()}
    files = VersionFiles(
        version, str(folder.relative_to(home)), digest["model.onnx"], digest["contract.json"], digest["samples.json"]
    )
    return Placed(home, model, contract, files, rows)


def _convert(model: Any, features: int) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skl2onnx and onnx warn of their own deprecated helpers
        from skl2onnx import to_onnx
        from skl2onnx.common.data_types import FloatTensorType

        types = [("input", FloatTensorType([None, features]))]
        converted = to_onnx(model, initial_types=types, options={"zipmap": False})
    return bytes(converted.SerializeToString())
