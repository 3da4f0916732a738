"""The process that answers for one ONNX file: ``python -m prodml_magics.inference.onnx_worker``, started by whoever serves it.

A file that somebody else made may crash onnxruntime however well it is checked; here that costs its own requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from prodml_magics.inference.gate import check_model
from prodml_magics.inference.messages import Start
from prodml_magics.inference.process import limit_memory
from prodml_magics.inference.providers import Gpu, missing_for_gpu
from prodml_magics.inference.session import open_session
from prodml_magics.inference.smoke import MEMORY_BYTES
from prodml_magics.inference.worker import answer_for

__all__ = ["MODULE", "main"]

MODULE = "prodml_magics.inference.onnx_worker"
Tensors = Mapping[str, np.ndarray]


def main() -> None:
    """Answer until the other side closes."""
    answer_for(_load)


def _load(start: Start) -> tuple[Callable[[Tensors], Tensors], str]:
    """Through the gate first, whoever let the file pass before: what control flow it may have has its deadline here."""
    check_model(start.model, trusted_exporter=True)
    if start.device == "cpu" or missing_for_gpu():  # CUDA maps far more than it takes
        import onnxruntime  # noqa: F401  mapped before the limit, which counts from here

        limit_memory(MEMORY_BYTES)
    session = open_session(start.model, device=start.device, gpu=Gpu(start.gpu_bytes))  # type: ignore[arg-type]
    return session.run, session.device


if __name__ == "__main__":
    main()
