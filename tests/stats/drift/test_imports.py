from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import sys
from prodml_magics.stats.drift import detect, prepare
found = detect(prepare({"a": [1.0, 2.0]}), {"a": [1.0, 2.0]})
heavy = {"jax", "polars", "scipy", "pandas", "altair", "mlflow"} & set(sys.modules)
assert not heavy, heavy
found.frame
assert "polars" in sys.modules
"""


def test_neither_importing_nor_detecting_loads_jax_or_a_frame_library() -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", _PROGRAM], check=True, timeout=60)
