"""NVIDIA Triton with a Python function behind it (PyTriton), batched by Triton."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytriton
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

MODEL, PORT = sys.argv[1], int(sys.argv[2])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
names = [each.name for each in session.get_outputs()]


@batch
def infer(input: np.ndarray) -> dict[str, np.ndarray]:
    label, probabilities = session.run(names, {"input": input})
    return {"label": label.reshape(-1, 1), "probabilities": probabilities}


if __name__ == "__main__":
    # The server is copied away from the libraries of its wheel, and finds them no more.
    libraries = str(Path(pytriton.__file__).parents[1] / "nvidia_pytriton.libs")
    if libraries not in os.environ.get("LD_LIBRARY_PATH", ""):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"LD_LIBRARY_PATH": libraries})
    config = TritonConfig(http_address="127.0.0.1", http_port=PORT, grpc_port=PORT + 1, allow_metrics=False, log_verbose=0)
    with Triton(config=config) as triton:
        triton.bind(
            model_name="cancer",
            infer_func=infer,
            inputs=[Tensor(name="input", dtype=np.float32, shape=(-1,))],
            outputs=[
                Tensor(name="label", dtype=np.int64, shape=(-1,)),
                Tensor(name="probabilities", dtype=np.float32, shape=(-1,)),
            ],
            config=ModelConfig(max_batch_size=128),
        )
        triton.serve()
