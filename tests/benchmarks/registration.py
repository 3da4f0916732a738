"""How long `%register` takes in a fresh process: the first one, which imports MLflow and makes its store, and those after it.

The profile is made while the model converts, so that both take longer than each alone: "conversion alone" is that of `build` without
anybody who makes a profile beside it, the shorter of two, and "all else" is what a registration takes beyond that.

python tests/benchmarks/registration.py [--rows 100000] [--columns 30] [--times 4]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from prodml_magics.actions.register import register
from prodml_magics.actions.workspace import Workspace
from prodml_magics.clock import SystemClock
from prodml_magics.registry.build import build
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
            request = Register(model=model, name="model", train=(rows, target), test=held_out)
            began, used = time.perf_counter(), time.process_time()
            spans = _spans(lambda progress, request=request: register(workspace, request, progress=progress))
            seconds, used = time.perf_counter() - began, time.process_time() - used
            parts = ", ".join(f"{step} {span:.2f}" for step, span in spans.items())
            if turn == 0:
                print(f"first: {seconds:.2f} s ({parts})")
                continue
            alone = min(_conversion(model, (rows, target), held_out) for _ in range(2))
            print(
                f"later: {seconds:.2f} s with {used:.2f} of CPU in this process ({parts}); "
                f"conversion alone {alone:.2f}, all else {seconds - alone:.2f}"
            )


def _conversion(model: Any, train: tuple[Any, ...], test: tuple[Any, ...]) -> float:
    """Seconds of conversion and proof with nothing beside them."""
    spans = _spans(lambda progress: build(model, train=train, test=test, root=Path.cwd(), progress=progress))
    return spans["converting and proving"]


def _spans(work: Callable[[Callable[[str], None]], object]) -> dict[str, float]:
    """Seconds by step."""
    steps: list[tuple[str, float]] = []
    work(lambda step: steps.append((step, time.perf_counter())))
    steps.append(("", time.perf_counter()))
    return {step: end - at for (step, at), (_, end) in pairwise(steps)}


if __name__ == "__main__":
    main()
