"""The protocol's description: it names every route, and a generator that reads it finds no server error in a live gateway."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
from engines.conftest import Served
from starlette.routing import Route

from prodml_magics.serving.app import Control

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
NOT_OF_THE_PROTOCOL = {"/metrics", "/ping", "/health", "/v2/"}


def described(served: Served) -> dict[str, Any]:
    return httpx.get(f"http://{served.http}/v2/openapi.json").json()


def test_it_describes_every_route(served: Served) -> None:
    control = Control(None, None, None, None, "cpu")  # type: ignore[arg-type]
    routes = {route.path for route in control.app().routes if isinstance(route, Route)}
    ours = {path for path in routes if not path.startswith("/admin")} - NOT_OF_THE_PROTOCOL
    predicting = {
        "/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer", "/predict/{model}", "/invocations",
        "/models/{model}/invocations",
    }  # fmt: skip
    assert set(described(served)["paths"]) == ours | predicting
    # A gateway that answers a path is what makes its description true.
    for path in predicting:
        answer = httpx.post(f"http://{served.http}{path.format(model='cancer', version=1)}", content=b"{")
        assert answer.status_code in (400, 404) and set(answer.json()) == {"error"}


def test_a_generator_of_requests_finds_no_server_error_and_nothing_undescribed(served: Served, tmp_path: Path) -> None:
    document = described(served)
    for operations in document["paths"].values():
        for parameter in operations.get("parameters", ()):
            names = ["cancer", "echo", "nobody"] if parameter["name"] == "model" else ["1", "2"]
            parameter["schema"] = {"type": "string", "enum": names}
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(document))
    line = [sys.executable, "-m", "schemathesis.cli", "run", str(path), "--url", f"http://{served.http}", "--checks", CHECKS]
    options = ["--phases", "coverage,fuzzing", "--max-examples", "40", "--seed", "1", "--generation-database", "none"]
    token = ["-H", f"Authorization: Bearer {served.token}"]
    done = subprocess.run([*line, *options, *token], capture_output=True, text=True, cwd=tmp_path, timeout=250)
    assert done.returncode == 0, done.stdout[-6000:]
    generated = re.search(r"(\d+) generated", done.stdout)
    assert generated is not None and int(generated[1]) > 1000, done.stdout[-6000:]
    index = httpx.post(f"http://{served.http}/v2/repository/index", json={}).json()
    assert {"name": "cancer", "version": "1", "state": "READY", "reason": ""} in index
