"""Loading the extension costs the Jupyter server next to nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

_START = """
import json, sys
from jupyter_server.serverapp import ServerApp
app = ServerApp()
app.initialize(["--no-browser", "--port=0", "--allow-root"], new_httpserver=False, find_extensions=False)
before = set(sys.modules)
app.extension_manager.add_extension("prodml_magics.lab", enabled=True)
app.extension_manager.link_extension("prodml_magics.lab")
app.extension_manager.load_extension("prodml_magics.lab")
print(json.dumps(sorted(set(sys.modules) - before)))
"""

_HEAVY = {"mlflow", "jax", "polars", "altair", "numpy", "pandas", "onnxruntime", "sklearn", "sqlalchemy", "deltalake", "pyarrow"}


def test_a_server_with_the_extension_imports_nothing_heavy(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", _START]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert "prodml_magics.lab.handlers" in loaded
    assert _HEAVY.isdisjoint(module.partition(".")[0] for module in loaded)
