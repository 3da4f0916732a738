"""The process that answers for one ONNX file: ``python -m prodml_magics.inference.onnx_worker``, started by whoever serves it.

A file that somebody else made may crash onnxruntime however well it is checked; here that costs its own requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from prodml_magics.inference.messages import Start
from prodml_magics.inference.providers import Gpu
from prodml_magics.inference.session import open_session
from prodml_magics.inference.worker import answer_for

__all__ = ["MODULE", "main"]

MODULE = "prodml_magics.inference.onnx_worker"
Tensors = Mapping[str, np.ndarray]


def main() -> None:
    """Answer until the other side closes."""
    answer_for(_load)


def _load(start: Start) -> tuple[Callable[[Tensors], Tensors], str]:
    session = open_session(start.model, device=start.device, gpu=Gpu(start.gpu_bytes))  # type: ignore[arg-type]
    return session.run, session.device


if __name__ == "__main__":
    main()
