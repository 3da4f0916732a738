"""LitServe as its guide shows it: one worker process behind its server process, no batching."""

import sys
from typing import Any

import litserve
import numpy as np
import onnxruntime

MODEL, PORT = sys.argv[1], int(sys.argv[2])


class Classifier(litserve.LitAPI):
    """Answers with every output of the graph."""

    def setup(self, device: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
        self.names = [each.name for each in self.session.get_outputs()]

    def decode_request(self, request) -> Any:
        (tensor,) = request["inputs"]
        return np.array(tensor["data"], np.float32).reshape(tensor["shape"])

    def predict(self, values: Any) -> Any:
        return self.session.run(self.names, {"input": values})

    def encode_response(self, found: Any) -> Any:
        return {name: value.tolist() for name, value in zip(self.names, found, strict=True)}


if __name__ == "__main__":
    litserve.LitServer(Classifier(), accelerator="cpu", workers_per_device=1).run(
        host="127.0.0.1", port=PORT, generate_client_file=False, log_level="warning"
    )
