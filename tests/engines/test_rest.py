"""REST against a real gateway process: Triton's clients, plain HTTP, every datatype, every extension that metadata names."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Iterator
from typing import Any, Literal

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from echo import DTYPES, values
from engines.conftest import Served

from prodml_magics.actions.deploy import deploy
from prodml_magics.actions.status import status
from prodml_magics.errors import Unavailable
from prodml_magics.inference.providers import missing_for_gpu
from prodml_magics.wire.requests import Deploy, Status

JsonTensor = dict[str, Any]


@pytest.fixture
def client(served: Served) -> Iterator[Any]:
    found = triton.InferenceServerClient(served.http)
    yield found
    found.close()


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{served.http}", timeout=20) as found:
        yield found


def triton_input(rows: np.ndarray, name: str, datatype: str, *, binary: bool = True) -> Any:
    tensor = triton.InferInput(name, list(rows.shape), datatype)
    tensor.set_data_from_numpy(rows, binary_data=binary)
    return tensor


def json_tensor(name: str, array: np.ndarray, *, nested: bool = False) -> JsonTensor:
    data = array.tolist() if nested else array.ravel().tolist()
    return {"name": f"in_{name}", "datatype": name, "shape": list(array.shape), "data": data}


def same(given: np.ndarray, sent: np.ndarray, name: str) -> None:
    given = (
        np.vectorize(lambda cell: cell.decode() if isinstance(cell, bytes) else cell, otypes=[object])(given)
        if (name == "BYTES")
        else given
    )
    assert given.dtype == DTYPES[name]
    np.testing.assert_array_equal(given, sent)


@pytest.mark.parametrize("answered_binary", [True, False])
def test_every_datatype_comes_back_as_it_went_through_tritons_client(client: Any, answered_binary: bool) -> None:
    sent = values()
    inputs = [triton_input(array, f"in_{name}", name) for name, array in sent.items()]
    # In JSON Triton's client reads no FP16, so that one stays binary.
    wanted = [triton.InferRequestedOutput(f"out_{name}", binary_data=answered_binary or name == "FP16") for name in sent]
    result = client.infer("echo", inputs, outputs=wanted)
    for name, array in sent.items():
        same(result.as_numpy(f"out_{name}"), array, name)


@pytest.mark.parametrize("nested", [True, False])
def test_every_datatype_comes_back_as_it_went_in_json(http: httpx.Client, nested: bool) -> None:
    sent = values()
    body = {"inputs": [json_tensor(name, array, nested=nested) for name, array in sent.items()]}
    answer = http.post("/v2/models/echo/infer", json=body)
    assert answer.status_code == 200, answer.text
    outputs = {output["name"]: output for output in answer.json()["outputs"]}
    for name, array in sent.items():
        output = outputs[f"out_{name}"]
        assert (output["datatype"], output["shape"]) == (name, [3, 2])
        same(np.array(output["data"], DTYPES[name]).reshape(3, 2), array, name)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("BOOL", [0, 1, 2, 0, 0, 0]),
        ("BOOL", ["true"] * 6),
        ("UINT8", [256, 0, 0, 0, 0, 0]),
        ("UINT64", [-1, 0, 0, 0, 0, 0]),
        ("UINT64", [2**64, 0, 0, 0, 0, 0]),
        ("INT8", [128, 0, 0, 0, 0, 0]),
        ("INT32", [1.5, 0, 0, 0, 0, 0]),
        ("INT64", [1e30, 0, 0, 0, 0, 0]),
        ("INT64", [None, 0, 0, 0, 0, 0]),
        ("FP16", [70000, 0, 0, 0, 0, 0]),
        ("FP32", [1e39, 0, 0, 0, 0, 0]),
        ("FP64", ["1"] * 6),
        ("FP64", [True] * 6),
        ("FP64", [{"a": 1}] * 6),
        ("BYTES", [1] * 6),
        ("BYTES", [None] * 6),
        ("FP32", [[[0.0]]] * 6),
    ],
)
def test_a_value_that_its_datatype_cannot_hold_is_refused(http: httpx.Client, name: str, data: list[Any]) -> None:
    sent = values()
    inputs = [json_tensor(other, array) for other, array in sent.items() if other != name]
    inputs.append({"name": f"in_{name}", "datatype": name, "shape": [3, 2], "data": data})
    answer = http.post("/v2/models/echo/infer", json={"inputs": inputs})
    assert (answer.status_code, f"in_{name}" in answer.json()["error"]) == (400, True), answer.text


def test_bfloat_is_taken_in_both_forms_and_is_the_float_of_the_same_value(served: Served, http: httpx.Client) -> None:
    rows = (served.placed.rows[:4].view(np.uint32) & 0xFFFF0000).view(np.float32)
    expected = served.placed.model.predict_proba(rows)
    raw = (rows.view(np.uint32) >> 16).astype("<u2").tobytes()
    tensor = {"name": "input", "shape": [4, 30], "datatype": "BF16"}
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": len(raw)}}]}).encode()
    length = {"Inference-Header-Content-Length": str(len(head))}
    binary = http.post("/v2/models/cancer/infer", content=head + raw, headers=length)
    # Not yet rounded: the nearest bfloat is taken, which is the one whose lower half is 0 again.
    near = rows * np.float32(1 + 2**-12)
    text = http.post("/v2/models/cancer/infer", json={"inputs": [{**tensor, "data": near.ravel().tolist()}]})
    for answer in (binary, text):
        given = np.array(answer.json()["outputs"][1]["data"]).reshape(-1, 2)
        np.testing.assert_allclose(given, expected, atol=1e-5)


def test_tritons_aio_client_gets_scikit_learns_answer(served: Served) -> None:
    placed = served.placed

    async def scenario() -> None:
        async with triton_aio.InferenceServerClient(served.http) as client:
            assert await client.is_model_ready("cancer", "1")
            inputs = [triton_input(placed.rows, "input", "FP32")]
            outputs = [triton.InferRequestedOutput("probabilities"), triton.InferRequestedOutput("label", binary_data=False)]
            result = await client.infer("cancer", inputs, outputs=outputs, model_version="1")
            np.testing.assert_allclose(result.as_numpy("probabilities"), placed.model.predict_proba(placed.rows), atol=1e-5)
            np.testing.assert_array_equal(result.as_numpy("label"), placed.model.predict(placed.rows))

    asyncio.run(scenario())


def test_outputs_come_in_the_order_in_which_they_are_asked_for(served: Served, http: httpx.Client) -> None:
    rows = served.placed.rows[:2]
    tensor = {"name": "input", "shape": [2, 30], "datatype": "FP32", "data": rows.ravel().tolist()}

    def ask(*outputs: Any, **parameters: Any) -> httpx.Response:
        body = {"inputs": [tensor], "outputs": list(outputs), "parameters": parameters}
        return http.post("/v2/models/cancer/infer", json=body)

    def names(answer: httpx.Response) -> list[str]:
        return [output["name"] for output in answer.json()["outputs"]]

    assert names(ask({"name": "probabilities"}, {"name": "label"})) == ["probabilities", "label"]
    assert names(ask({"name": "label"})) == ["label"]
    assert names(ask()) == ["label", "probabilities"]
    for wrong in (
        [{"name": "odds"}],
        [{"name": "label"}, {"name": "label"}],
        [{"name": "label", "parameters": {"classification": 0}}],
    ):
        assert ask(*wrong).status_code == 400
    assert ask({"name": "label", "parameters": {"shared_memory_region": "x"}}).status_code == 400
    # What is said of all outputs holds where an output itself says nothing.
    mixed = ask({"name": "label"}, {"name": "probabilities", "parameters": {"binary_data": False}}, binary_data_output=True)
    length = int(mixed.headers["inference-header-content-length"])
    outputs = json.loads(mixed.content[:length])["outputs"]
    assert ("data" in outputs[1], outputs[0]["parameters"]) == (True, {"binary_data_size": 16})
    assert struct.unpack("<2q", mixed.content[length:]) == tuple(served.placed.model.predict(rows))


@pytest.mark.parametrize("binary", [True, False])
def test_classes_come_with_value_index_and_label(served: Served, client: Any, binary: bool) -> None:
    rows = served.placed.rows[:3]
    wanted = [triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=5)]
    result = client.infer("cancer", [triton_input(rows, "input", "FP32")], outputs=wanted)
    found = result.as_numpy("probabilities")
    assert found.shape == (3, 2)
    for row, texts in zip(served.placed.model.predict_proba(rows), found, strict=True):
        parts = [(text.decode() if isinstance(text, bytes) else text).split(":") for text in texts]
        assert [int(index) for _, index, _ in parts] == np.argsort(-row).tolist()
        assert [float(value) for value, _, _ in parts] == pytest.approx(sorted(row, reverse=True), abs=1e-5)
        assert [label for _, _, label in parts] == [str(index) for index in np.argsort(-row)]
    with pytest.raises(triton.InferenceServerException, match="no order"):
        client.infer(
            "echo",
            [triton_input(array, f"in_{name}", name) for name, array in values().items()],
            outputs=[triton.InferRequestedOutput("out_BYTES", class_count=1)],
        )


def test_configuration_statistics_and_repository_through_tritons_client(served: Served, client: Any) -> None:
    assert client.get_server_metadata()["extensions"] == [
        "binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics",
    ]  # fmt: skip
    config = client.get_model_config("cancer", "1")
    assert (config["max_batch_size"], config["input"]) == (1024, [{"name": "input", "data_type": "TYPE_FP32", "dims": [30]}])
    before = client.get_inference_statistics("cancer", "1")["model_stats"][0]
    client.infer("cancer", [triton_input(served.placed.rows[:9], "input", "FP32")])
    after = client.get_inference_statistics("cancer", "1")["model_stats"][0]
    assert after["inference_count"] - before["inference_count"] == 9
    assert {each["name"] for each in client.get_inference_statistics()["model_stats"]} == {"cancer", "echo"}
    assert {"name": "cancer", "version": "1", "state": "READY", "reason": ""} in client.get_model_repository_index()
    for change in (client.load_model, client.unload_model):
        with pytest.raises(triton.InferenceServerException, match="token"):
            change("cancer")
    right = {"Authorization": f"Bearer {served.token}"}
    client.load_model("cancer", headers=right)
    client.load_model("idle", headers=right)
    client.unload_model("idle", headers=right)
    with pytest.raises(triton.InferenceServerException, match="%undeploy cancer"):
        client.unload_model("cancer", headers=right)
    for name, message in (("nobody", "not registered|no model"), ("..", "cannot name a model")):
        with pytest.raises(triton.InferenceServerException, match=message):
            client.load_model(name, headers=right)
    with pytest.raises(triton.InferenceServerException, match="'config' is not taken"):
        client.load_model("cancer", headers=right, config="{}")


def test_versions_stand_in_paths(http: httpx.Client) -> None:
    for path in ("", "/ready", "/config", "/stats"):
        assert http.get(f"/v2/models/cancer/versions/1{path}").status_code == 200
        for version, code in (("9", 404), ("x", 400), ("9" * 500, 400), ("1.0", 400), ("-1", 400)):
            answer = http.get(f"/v2/models/cancer/versions/{version}{path}")
            assert (answer.status_code, set(answer.json())) == (code, {"error"}), (path, version)
        assert http.get(f"/v2/models/nobody{path}").status_code == 404
    assert http.get("/v2/models/cancer").json()["versions"] == ["1"]


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_packed_requests_and_answers_through_tritons_client(served: Served, client: Any, algorithm: str) -> None:
    rows = served.placed.rows
    result = client.infer(
        "cancer",
        [triton_input(rows, "input", "FP32")],
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )
    np.testing.assert_allclose(result.as_numpy("probabilities"), served.placed.model.predict_proba(rows), atol=1e-5)


@pytest.mark.skipif(missing_for_gpu() is None, reason="a GPU is here")
@pytest.mark.parametrize("device", ["gpu", "tensorrt"])
def test_a_gpu_that_is_not_here_is_refused_and_nothing_changes(served: Served, device: Literal["gpu", "tensorrt"]) -> None:
    before = served.workspace.route("cancer")
    with pytest.raises(Unavailable, match=r"^no GPU to serve from: .*; (use --device cpu|pip install .*)$"):
        deploy(served.workspace, Deploy(model="cancer@1", device=device))
    assert served.workspace.route("cancer") == before
    shown = {model.name: model.device for model in status(served.workspace, Status()).record.models}
    assert shown == {"cancer": "cpu", "echo": "cpu", "idle": None}
