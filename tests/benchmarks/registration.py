"""How long `%register` takes in a fresh process: the first one, which imports MLflow and makes its store, and those after it.

python tests/benchmarks/registration.py [--rows 100000] [--columns 30] [--times 4]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from itertools import pairwise
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
            steps: list[tuple[str, float, float]] = []
            began = time.perf_counter()
            register(
                workspace,
                Register(model=model, name="model", train=(rows, target), test=held_out),
                progress=lambda step, steps=steps: steps.append((step, time.perf_counter(), time.process_time())),
            )
            steps.append(("", time.perf_counter(), time.process_time()))
            spans = [(step, end - at, used - before) for (step, at, before), (_, end, used) in pairwise(steps)]
            parts = ", ".join(f"{step} {seconds:.2f}" for step, seconds, _ in spans)
            converting = next(seconds for step, seconds, _ in spans if step.startswith("converting"))
            rest = steps[-1][1] - began - converting
            busy = sum(used for step, _, used in spans if not step.startswith("converting"))
            print(
                f"{'first' if turn == 0 else 'later'}: {rest + converting:.2f} s, of which conversion and proof {converting:.2f} "
                f"and all else {rest:.2f} (in it {busy:.2f} of CPU) ({parts})"
            )


if __name__ == "__main__":
    main()
