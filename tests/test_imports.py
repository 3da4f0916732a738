"""Nothing heavy loads before it is used, and what others build on keeps its names."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import prodml_magics

HEAVY = {
    "altair", "anywidget", "deltalake", "ipywidgets", "jax", "mlflow", "numpy", "onnx", "onnxruntime", "pandas", "papermill",
    "polars", "pyarrow", "ray", "scipy", "skl2onnx", "sklearn", "sqlalchemy", "starlette", "uvicorn", "vl_convert",
}  # fmt: skip
NOT_IN_A_WORKER = {
    "IPython", "altair", "deltalake", "ipywidgets", "jax", "mlflow", "onnx", "pandas", "papermill", "polars", "pyarrow", "scipy",
    "skl2onnx", "sklearn",
}  # fmt: skip

LOAD = """
import json, sys, time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = set(sys.modules)
began = time.perf_counter()
shell.run_line_magic("load_ext", "prodml_magics")
seconds = time.perf_counter() - began
assert shell.find_line_magic("deploy") is not None
print(json.dumps({"seconds": seconds, "modules": sorted(set(sys.modules) - before)}))
"""


def fresh(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def loaded(code: str) -> set[str]:
    modules = fresh(f"{code}\nimport sys; print(' '.join(sys.modules))").split()
    return {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize("code", ["import prodml_magics", "import prodml_magics.functions", "import prodml_magics.cli.main"])
def test_importing_the_package_or_a_door_loads_nothing_heavy(code: str) -> None:
    assert loaded(code) & HEAVY == set()


def test_load_ext_takes_under_three_tenths_of_a_second_and_loads_nothing_heavy() -> None:
    runs = [json.loads(fresh(LOAD)) for _ in range(3)]
    assert {name.partition(".")[0] for name in runs[0]["modules"]} & HEAVY == set()
    assert min(run["seconds"] for run in runs) < 0.3


def test_a_gateway_worker_loads_no_statistics_registry_lake_or_frames() -> None:
    modules = loaded("import prodml_magics.serving.__main__")
    assert modules & NOT_IN_A_WORKER == set()
    assert modules & {"grpc", "google"} == set(), "gRPC loads when its listener starts, beside the models"
    assert "prodml_magics" in modules


def test_public_names_are_pinned_and_callable() -> None:
    assert set(prodml_magics.__all__) == {
        "deploy", "doctor", "down", "drift", "labels", "load_ipython_extension", "optimize", "plan", "register", "replay", "rollback",
        "rollout", "shadow", "status", "timeline", "token", "undeploy", "undo", "up", "whatif",
    }  # fmt: skip
    assert all(callable(getattr(prodml_magics, name)) for name in prodml_magics.__all__)
    with pytest.raises(AttributeError, match="no attribute 'deploi'"):
        prodml_magics.deploi  # noqa: B018
