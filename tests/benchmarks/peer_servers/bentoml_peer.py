"""BentoML with one service and one worker."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    os.environ["PEER_MODEL"] = sys.argv[1]
    arguments = ["serve", "bentoml_peer:Classifier", "--working-dir", str(Path(__file__).resolve().parent)]
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"
    os.execv(
        sys.executable, [sys.executable, "-m", "bentoml", *arguments, "--host", "127.0.0.1", "--port", sys.argv[2], "--quiet"]
    )

import bentoml
import numpy as np
import onnxruntime


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Classifier:
    """Answers with every output of the graph."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["PEER_MODEL"], options, providers=["CPUExecutionProvider"])
        self.names = [each.name for each in self.session.get_outputs()]

    @bentoml.api
    def predict(self, inputs: list[dict], id: str = "") -> dict:
        (tensor,) = inputs
        values = np.array(tensor["data"], np.float32).reshape(tensor["shape"])
        found = self.session.run(self.names, {"input": values})
        return {name: value.tolist() for name, value in zip(self.names, found, strict=True)}
