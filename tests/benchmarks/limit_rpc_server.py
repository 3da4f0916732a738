"""The bare server that gRPC is measured against: ``grpc.aio`` on uvloop, the same messages, ``session.run``, a reply. No features."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import uvloop

from prodml_magics.inference.session import open_session
from prodml_magics.serving.rpc.messages import ModelInferRequest, ModelInferResponse

_DATATYPES = {np.dtype(np.float32): "FP32", np.dtype(np.int64): "INT64"}


async def serve(model: bytes, port: int) -> None:
    """Answer every ``ModelInfer`` with the model's outputs."""
    session = open_session(model)

    async def infer(request: Any, _context: Any) -> Any:
        (tensor,), (raw,) = request.inputs, request.raw_input_contents
        outputs = session.run({"input": np.frombuffer(raw, np.float32).reshape(tensor.shape)})
        answer = ModelInferResponse(model_name="limit", id=request.id)
        for name, values in outputs.items():
            answer.outputs.add(name=name, datatype=_DATATYPES[values.dtype], shape=values.shape)
            answer.raw_output_contents.append(values.tobytes())
        return answer

    handler = grpc.unary_unary_rpc_method_handler(
        infer, request_deserializer=ModelInferRequest.FromString, response_serializer=ModelInferResponse.SerializeToString
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": handler}),)
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Path(sys.argv[1]).read_bytes(), int(sys.argv[2])))
