"""KServe's Python server with one model, one worker, HTTP alone."""

from __future__ import annotations

import logging
import sys

import onnxruntime
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

MODEL, PORT = sys.argv[1], int(sys.argv[2])


class Classifier(Model):
    """Answers with every output of the graph."""

    def __init__(self) -> None:
        super().__init__("cancer")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
        self.ready = True

    def predict(self, payload: InferRequest, headers: object = None) -> InferResponse:
        values = payload.inputs[0].as_numpy()
        outputs = []
        for node, value in zip(self.session.get_outputs(), self.session.run(None, {"input": values}), strict=True):
            output = InferOutput(node.name, list(value.shape), "INT64" if value.dtype.kind == "i" else "FP32")
            output.set_data_from_numpy(value, binary_data=False)
            outputs.append(output)
        return InferResponse(payload.id or "0", "cancer", outputs)


if __name__ == "__main__":
    logging.getLogger("kserve.trace").setLevel(logging.WARNING)
    ModelServer(http_port=PORT, enable_grpc=False, workers=1, access_log_format=None).start([Classifier()])
