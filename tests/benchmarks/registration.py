"""How long `%register` takes in a fresh process: the first one, which imports MLflow and makes its store, and those after it.

python tests/benchmarks/registration.py [--rows 100000] [--columns 30] [--times 4]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from prodml_magics.actions.register import register
from prodml_magics.actions.workspace import Workspace
from prodml_magics.clock import SystemClock
from prodml_magics.wire.requests import Register


def main() -> None:
    """Register the same model again and again, as a notebook does, and print the seconds by step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--columns", type=int, default=30)
    parser.add_argument("--times", type=int, default=4)
    given = parser.parse_args()
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(given.rows, given.columns)).astype(np.float32)
    target = (rows[:, 0] + generator.normal(size=given.rows) > 0).astype(int)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, target)
    held_out = rows[: given.rows // 5], target[: given.rows // 5]
    with (
        tempfile.TemporaryDirectory() as folder,
        Workspace(Path(folder) / ".prodml", actor="benchmark", clock=SystemClock(), environment={}) as workspace,
    ):
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        for turn in range(given.times):
            steps: list[tuple[str, float]] = []
            began = time.perf_counter()
            register(
                workspace,
                Register(model=model, name="model", train=(rows, target), test=held_out),
                progress=lambda step, steps=steps: steps.append((step, time.perf_counter())),
            )
            ended = time.perf_counter()
            ends = [at for _, at in steps[1:]] + [ended]
            parts = ", ".join(f"{step} {end - at:.2f}" for (step, at), end in zip(steps, ends, strict=True))
            converting = next(end - at for (step, at), end in zip(steps, ends, strict=True) if step.startswith("converting"))
            which, rest = "first" if turn == 0 else "later", ended - began - converting
            print(
                f"{which}: {ended - began:.2f} s, of which conversion and proof {converting:.2f} and all else {rest:.2f} ({parts})"
            )


if __name__ == "__main__":
    main()
