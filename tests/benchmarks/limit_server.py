"""The bare server that the gateway is measured against: uvicorn, JSON parse, ``session.run`` of one row, JSON reply. No features."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import uvicorn

from prodml_magics.inference.session import open_session


def build(model: bytes) -> Any:
    """An ASGI application that answers every POST with the model's outputs."""
    session = open_session(model)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        (tensor,) = msgspec.json.decode(body)["inputs"]
        values = np.array(tensor["data"], np.float32).reshape(tensor["shape"])
        outputs = session.run({"input": values})
        answer = [{"name": k, "shape": list(v.shape), "data": v.ravel().tolist()} for k, v in outputs.items()]
        payload = msgspec.json.encode({"model_name": "limit", "outputs": answer})
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(payload)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": payload})

    return app


if __name__ == "__main__":
    uvicorn.run(
        build(Path(sys.argv[1]).read_bytes()), port=int(sys.argv[2]), log_level="warning", access_log=False, lifespan="off"
    )
