"""A real gateway process and clients from outside: Triton's own, and some that mean no good."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import polars as pl
import pytest
import tritonclient.http as triton
from click.testing import CliRunner
from homes import add_version, infer_body, post, services, workspace_at
from mlflow.deployments.cli import commands
from mlflow.exceptions import MlflowException
from versions import Placed

from prodml_magics.actions.deploy import deploy
from prodml_magics.registry.mlflow_errors import load_mlflow, quiet
from prodml_magics.wire.requests import Deploy


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Placed, Path]]:
    """URL of a deployed model, the model, and its home."""
    workspace = workspace_at(tmp_path_factory.mktemp("clients") / ".prodml")
    placed = add_version(workspace, 1)
    with services(workspace):
        yield str(deploy(workspace, Deploy(model="cancer@1")).url), placed, workspace.home


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client_gets_scikit_learns_answer(live: tuple[str, Placed, Path], binary: bool) -> None:
    url, placed, _ = live
    client = triton.InferenceServerClient(urlsplit(url).netloc)
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("cancer", "1")
    assert client.get_model_metadata("cancer")["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 30]}]
    rows = triton.InferInput("input", list(placed.rows.shape), "FP32")
    rows.set_data_from_numpy(placed.rows, binary_data=binary)
    wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("probabilities", "label")]
    result = client.infer("cancer", [rows], outputs=wanted, request_id="mine")
    np.testing.assert_allclose(result.as_numpy("probabilities"), placed.model.predict_proba(placed.rows), atol=1e-5)
    np.testing.assert_array_equal(result.as_numpy("label"), placed.model.predict(placed.rows))
    assert result.get_response()["id"] == "mine"
    with pytest.raises(triton.InferenceServerException, match="deployed: cancer"):
        client.infer("nobody", [rows])
    client.close()


def _endless(size: int) -> Iterator[bytes]:
    for _ in range(size >> 20):
        yield b"1," * (1 << 19)


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_of_100_mb_is_413_and_does_not_stay_in_memory(live: tuple[str, Placed, Path], chunked: bool) -> None:
    url, placed, _ = live
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=20)
    body: Any = _endless(100 << 20) if chunked else b" " * (100 << 20)
    headers = {"Transfer-Encoding": "chunked"} if chunked else {}
    connection.request("POST", where.path + "/infer", body, headers, encode_chunked=chunked)
    response = connection.getresponse()
    assert (response.status, b"32 MiB" in response.read()) == (413, True)
    connection.close()
    assert post(f"{url}/infer", infer_body(placed.rows[:1]))[0] == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"GARBAGE\r\n\r\n",
        b"POST /v2/models/cancer/infer HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n",
        b"POST /v2/models/cancer/infer HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v2/models/cancer/infer HTTP/1.1\r\nHost: x\r\nInference-Header-Content-Length: 9e9\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /predict/cancer HTTP/1.1\r\nHost: x\r\nX-Prodml-Key: \xff\xfe\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v2/models/..%2f..%2fetc/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_malformed_requests_are_4xx_and_the_next_client_is_served(live: tuple[str, Placed, Path], raw: bytes) -> None:
    url, placed, home = live
    where = urlsplit(url)
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=5) as connection:
        connection.sendall(raw)
        assert connection.recv(100).split()[1][:1] == b"4"
    assert post(f"{url}/infer", infer_body(placed.rows[:1]))[0] == 200
    assert "Traceback" not in (home / "logs" / "gateway.log").read_text()


def test_clients_that_leave_in_mid_request_harm_nobody(live: tuple[str, Placed, Path]) -> None:
    url, placed, home = live
    where = urlsplit(url)
    for _ in range(20):
        with socket.create_connection((where.hostname or "", where.port or 0), timeout=5) as connection:
            connection.sendall(b"POST /v2/models/cancer/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n{")
    assert post(f"{url}/infer", infer_body(placed.rows[:1]))[0] == 200
    assert "Traceback" not in (home / "logs" / "gateway.log").read_text()


@pytest.fixture
def client(live: tuple[str, Placed, Path], monkeypatch: pytest.MonkeyPatch) -> Any:
    """MLflow's own way to the target, which finds it by its entry point."""
    monkeypatch.setenv("PRODML_HOME", str(live[2]))
    with quiet():
        return load_mlflow().deployments.get_deploy_client("prodml")


def test_mlflows_client_deploys_lists_and_asks(client: Any, live: tuple[str, Placed, Path]) -> None:
    _, placed, _ = live
    rows = placed.rows[:20]
    expected = placed.model.predict(rows).tolist()
    names = [column.name for column in placed.contract.columns]
    assert client.predict("cancer", pd.DataFrame(rows, columns=names)).get_predictions("ndarray").tolist() == expected
    assert client.predict(inputs=pl.DataFrame(rows, schema=names))["predictions"] == expected
    assert client.predict("cancer", rows)["predictions"] == expected
    assert [each["name"] for each in client.list_deployments()] == ["cancer"]
    assert client.get_deployment("cancer")["model_uri"] == "models:/cancer/1"
    with pytest.raises(MlflowException, match="deployed already, version 1; use update_deployment"):
        client.create_deployment("cancer", "models:/cancer/1")
    client.delete_deployment("cancer")
    client.delete_deployment("cancer")
    assert client.list_deployments() == []
    with pytest.raises(MlflowException, match="cancer is not deployed"):
        client.get_deployment("cancer")
    assert client.create_deployment("cancer", "models:/cancer/1", "onnx")["version"] == 1
    changed = client.update_deployment("cancer", config={"max-batch": "64", "mask": names[0]})
    assert (changed["version"], changed["name"]) == (1, "cancer")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"model_uri": "models:/other/1"}, "is no version of cancer; write models:/cancer/2"),
        ({"model_uri": "runs:/abc/model"}, "is no version of cancer"),
        ({"config": {"colour": "red"}}, "no config option 'colour'"),
        ({"config": {"max_batch": "many"}}, "max_batch is 'many'"),
        ({"flavor": "spark"}, "flavor 'spark' is not served"),
        ({"endpoint": "e"}, "no endpoints"),
    ],
)
def test_mlflows_client_says_in_one_line_what_it_cannot_do(client: Any, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(MlflowException, match=says) as caught:
        client.update_deployment("cancer", **arguments)
    assert "\n" not in str(caught.value)


def test_mlflows_command_line_reaches_the_target(client: Any, live: tuple[str, Placed, Path], tmp_path: Path) -> None:
    _, placed, _ = live
    names = [column.name for column in placed.contract.columns]
    pd.DataFrame(placed.rows[:3], columns=names).to_json(tmp_path / "rows.json")
    runner = CliRunner()
    asked = runner.invoke(commands, ["predict", "-t", "prodml", "--name", "cancer", "-I", str(tmp_path / "rows.json")])
    assert asked.exit_code == 0, asked.output
    assert placed.model.predict(placed.rows[:3]).tolist() == json.loads(asked.output)["predictions"]
    helped = runner.invoke(commands, ["help", "-t", "prodml"])
    assert "slo_p99" in helped.output and "models:/NAME/VERSION" in helped.output
    listed = runner.invoke(commands, ["list", "-t", "prodml"])
    assert "cancer" in listed.output
