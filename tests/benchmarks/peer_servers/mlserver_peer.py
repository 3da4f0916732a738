"""MLServer with a runtime of its own kind, in its own process: no parallel workers, which cost more than they bring one core."""

from __future__ import annotations

import asyncio
import sys

import onnxruntime
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

MODEL, PORT = sys.argv[1], int(sys.argv[2])


class Classifier(MLModel):
    """Answers with every output of the graph."""

    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
        self.outputs_ = [each.name for each in self.session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        values = NumpyCodec.decode_input(payload.inputs[0])
        found = self.session.run(self.outputs_, {"input": values})
        outputs = [NumpyCodec.encode_output(name, value) for name, value in zip(self.outputs_, found, strict=True)]
        return InferenceResponse(model_name=self.name, outputs=outputs)


async def main() -> None:
    settings = Settings(
        host="127.0.0.1",
        http_port=PORT,
        grpc_port=PORT + 1,
        metrics_port=PORT + 2,
        parallel_workers=0,
        debug=False,
        use_structured_logging=False,
    )
    await MLServer(settings).start([ModelSettings(name="cancer", implementation=Classifier)])


if __name__ == "__main__":
    asyncio.run(main())
