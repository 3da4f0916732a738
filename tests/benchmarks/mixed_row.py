"""What one row of 20 numbers and 5 columns of text costs: the session alone, text made into numbers, the contract's check.

    python tests/benchmarks/mixed_row.py [--rows 1 128]

Beside it the same model by skl2onnx alone, which has one input per column and takes text. Microseconds, the best of many runs, one thread;
nothing of a server is in them.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import compose, ensemble, linear_model
from sklearn import preprocessing as prep
from sklearn.pipeline import make_pipeline

sys.path.insert(0, str(Path(__file__).parents[1]))

from registry.alone import by_column
from registry.here import Here

from prodml_magics.contract.check import check_tensors
from prodml_magics.contract.codes import feeds_of
from prodml_magics.contract.encode import encode_columns
from prodml_magics.inference.fed import fed
from prodml_magics.inference.session import open_session
from prodml_magics.registry.build import build
from prodml_magics.registry.frames import columns_of

LEVELS = (3, 10, 30, 100, 200)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 128])
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    frame, target = made()
    models = {name: model.fit(frame, target) for name, model in MODELS.items()}
    alone = {name: by_skl2onnx(model, frame) for name, model in models.items()}  # first: ours replaces converters of skl2onnx
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print("| model | rows | session | with text to numbers | check of the contract | skl2onnx alone, one input per column |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, model in models.items():
        candidate = build(model, train=(frame, target), converter=Here())
        session, feeds = open_session(candidate.model, device="cpu"), feeds_of(candidate.contract)
        assert feeds is not None
        runner = fed(session, feeds)
        for rows in given.rows:
            tensors = encode_columns(candidate.contract, columns_of(frame.head(rows)))
            numbers, apart = feeds(tensors), by_column(candidate.contract, tensors)
            columns = dict(zip((each.name for each in alone[name].get_inputs()), apart.values(), strict=True))
            measured = [
                best(lambda session=session, numbers=numbers: session.run(numbers)),
                best(lambda runner=runner, tensors=tensors: runner.run(tensors)),
                best(lambda contract=candidate.contract, tensors=tensors: check_tensors(contract, tensors)),
                best(lambda session=alone[name], columns=columns: session.run(None, columns)),
            ]
            print(f"| {name} | {rows} | {' | '.join(f'{each:.1f}' for each in measured)} |")


def made() -> tuple[pd.DataFrame, np.ndarray]:
    generator = np.random.default_rng(0)
    numbers = {f"number {place}": generator.normal(size=4000) for place in range(20)}
    texts = {
        f"text {place}": np.array([f"level {level}" for level in range(count)])[generator.integers(0, count, 4000)]
        for place, count in enumerate(LEVELS)
    }
    frame = pd.DataFrame({**numbers, **texts})
    return frame, ((frame["number 0"] > 0) ^ (frame["text 0"] == "level 1")).to_numpy(int)


def mixed(numbers: Any, text: Any) -> Any:
    names = ([f"number {place}" for place in range(20)], [f"text {place}" for place in range(len(LEVELS))])
    return compose.make_column_transformer((numbers, names[0]), (text, names[1]))


ONE_HOT = prep.OneHotEncoder(handle_unknown="ignore")
ORDINAL = prep.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
MODELS = {
    "one-hot, LogisticRegression": make_pipeline(mixed("passthrough", ONE_HOT), linear_model.LogisticRegression(max_iter=500)),
    "one-hot and scaler, LogisticRegression": make_pipeline(
        mixed(prep.StandardScaler(), ONE_HOT), linear_model.LogisticRegression()
    ),
    "ordinal, HistGradientBoosting": make_pipeline(
        mixed("passthrough", ORDINAL), ensemble.HistGradientBoostingClassifier(max_iter=100, random_state=0)
    ),
}


def by_skl2onnx(model: Any, frame: pd.DataFrame) -> Any:
    import onnxruntime
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    types = [(name, (FloatTensorType if name.startswith("number") else StringTensorType)([None, 1])) for name in frame.columns]
    options = {id(model.steps[-1][1]): {"zipmap": False}}
    file = convert_sklearn(model, initial_types=types, options=options, target_opset={"": 18, "ai.onnx.ml": 3})
    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads = chosen.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(file.SerializeToString(), chosen, providers=["CPUExecutionProvider"])


def best(run: Callable[[], Any]) -> float:
    found, until = np.inf, time.perf_counter() + 1
    while time.perf_counter() < until:
        for _ in range(20):
            began = time.perf_counter()
            run()
            found = min(found, time.perf_counter() - began)
    return found * 1e6


if __name__ == "__main__":
    main()
