"""``mlflow models serve`` of the same graph, as its guide shows it."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import mlflow
import onnx

if __name__ == "__main__":
    folder = str(Path(tempfile.mkdtemp()) / "model")
    mlflow.onnx.save_model(onnx.load(sys.argv[1]), folder)
    arguments = [
        "models",
        "serve",
        "-m",
        folder,
        "--env-manager",
        "local",
        "--host",
        "127.0.0.1",
        "--port",
        sys.argv[2],
        "--workers",
        "1",
    ]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", *arguments])
