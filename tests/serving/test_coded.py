"""A version whose graph takes numbers of levels: clients send text at every door, and text is what is logged."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import grpc
import msgspec
import numpy as np
import pandas as pd
import pytest
from registry.here import Here
from serving.test_gateway import URL, serving
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
from versions import Placed

from prodml_magics.contract.schema import write_contract
from prodml_magics.registry.build import build
from prodml_magics.serving.catalog import Catalog
from prodml_magics.serving.follow import Follower
from prodml_magics.serving.limits import Limits
from prodml_magics.serving.rpc import messages as m
from prodml_magics.serving.rpc.server import listen
from prodml_magics.storage.arrays import from_array
from prodml_magics.storage.ledger import Ledger, sqlite_url
from prodml_magics.wire.routes import VersionFiles

TEXT = [["Bonn", "a"], ["Rom", "b"], ["", "a"], ["Köln", "a"]]
ROWS = pd.DataFrame({"price": [0.5, 1.5, 2.5, 3.5], "city": ["Bonn", "Rom", None, "Köln"], "shop": ["a", "b", "a", "a"]})


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Placed:
    """``cancer@1``: tolerant of unseen cities, but not of unseen shops."""
    home = tmp_path_factory.mktemp("home")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"price": rng.random(200), "city": rng.choice(["Bonn", "Köln", "Ulm"], 200), "shop": rng.choice(["a", "b"], 200)}
    )
    frame["city"] = frame.city.where(rng.random(200) > 0.1)
    target = ((frame.price > 0.5) ^ (frame.city == "Ulm")).to_numpy(int)
    columns = make_column_transformer(
        ("passthrough", ["price"]), (OneHotEncoder(handle_unknown="ignore"), ["city"]), (OrdinalEncoder(), ["shop"])
    )
    model = make_pipeline(columns, LogisticRegression()).fit(frame, target)
    candidate = build(model, train=(frame, target), converter=Here())
    written = {
        "model.onnx": candidate.model,
        "contract.json": write_contract(candidate.contract),
        "samples.json": candidate.samples,
    }
    folder = home / "models" / "cancer" / "1"
    folder.mkdir(parents=True)
    for name, content in written.items():
        (folder / name).write_bytes(content)
    digest = {name: hashlib.sha256(content).hexdigest() for name, content in written.items()}
    files = VersionFiles(1, str(folder.relative_to(home)), digest["model.onnx"], digest["contract.json"], digest["samples.json"])
    return Placed(home, model, candidate.contract, files, np.empty(0))


def body(text: list[list[str]]) -> dict[str, Any]:
    prices = [[0.5 + place] for place in range(len(text))]
    return {
        "inputs": [
            {"name": "numeric", "shape": [len(text), 1], "datatype": "FP32", "data": prices},
            {"name": "categorical", "shape": [len(text), 2], "datatype": "BYTES", "data": text},
        ]
    }


def test_every_door_takes_text_and_the_log_keeps_it(coded: Placed) -> None:
    expected = coded.model.predict_proba(ROWS)[:, 1]
    named = ROWS.astype(object).where(ROWS.notna(), None).to_dict("records")

    async def scenario() -> None:
        async with serving(coded) as (gateway, client):
            metadata = (await client.get("/v2/models/cancer")).json()
            assert {each["name"]: each["datatype"] for each in metadata["inputs"]} == {"numeric": "FP32", "categorical": "BYTES"}
            tensors = (await client.post(URL, json=body(TEXT))).json()
            given = np.array(tensors["outputs"][1]["data"]).reshape(-1, 2)[:, 1]
            np.testing.assert_allclose(given, expected, atol=1e-5)
            rows = (await client.post("/predict/cancer", json=named)).json()["predictions"]
            np.testing.assert_allclose([row["probabilities"]["1"] for row in rows], expected, atol=1e-5)
            labels = (await client.post("/invocations", json={"dataframe_records": named})).json()["predictions"]
            assert labels == coded.model.predict(ROWS).tolist()
            assert await _over_grpc(gateway) == pytest.approx(expected, abs=1e-5)
            await gateway.router.close()
            blocks = gateway.blocks()
            assert sum(block.rows for block in blocks) == 16
            for block in blocks:
                assert from_array(block.inputs["categorical"]).tolist() == TEXT[: block.rows]

    asyncio.run(scenario())


async def _over_grpc(gateway: Any) -> np.ndarray:
    catalog = Catalog(
        gateway.router, Follower(Ledger(sqlite_url(gateway.home / "ledger.db")), gateway.router, gateway.access), gateway.metrics
    )
    server, port = await listen("127.0.0.1:0", gateway.predictor, catalog, gateway.access, Limits())
    request = m.ModelInferRequest(model_name="cancer")
    numbers = request.inputs.add(name="numeric", datatype="FP32", shape=(4, 1))
    numbers.contents.fp32_contents.extend([0.5, 1.5, 2.5, 3.5])
    text = request.inputs.add(name="categorical", datatype="BYTES", shape=(4, 2))
    text.contents.bytes_contents.extend([cell.encode() for row in TEXT for cell in row])
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        asked = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        answer = m.ModelInferResponse.FromString(await asked(request.SerializeToString()))
    await server.stop(None)
    return np.array(answer.outputs[1].contents.fp32_contents).reshape(-1, 2)[:, 1]


def test_a_level_that_the_model_refuses_fails_its_own_request_alone(coded: Placed) -> None:
    async def scenario() -> None:
        async with serving(coded) as (_, client):
            refused, answered = await asyncio.gather(
                client.post(URL, json=body([["Bonn", "c"]])), client.post(URL, json=body([["Bonn", "a"]]))
            )
            assert answered.status_code == 200
            assert refused.status_code == 422
            assert "column 'shop' is 'c' in row 0, which the model refuses; send one of 'a', 'b'" in refused.json()["error"]

    asyncio.run(scenario())


def test_a_version_put_away_is_opened_again_behind_its_tables(coded: Placed) -> None:
    async def scenario() -> None:
        async with serving(coded) as (gateway, client):
            before = (await client.post(URL, json=body(TEXT))).json()["outputs"]
            gateway.router.lane("cancer").version.put_away()
            assert gateway.router.lane("cancer").version.asleep
            assert (await client.post(URL, json=body(TEXT))).json()["outputs"] == before

    asyncio.run(scenario())


def test_one_in_a_process_of_its_own_is_sent_numbers(coded: Placed) -> None:
    isolated = msgspec.structs.replace(coded.files, isolate=True)

    async def scenario() -> None:
        async with serving(Placed(coded.home, coded.model, coded.contract, isolated, coded.rows)) as (gateway, client):
            answer = (await client.post(URL, json=body(TEXT))).json()
            given = np.array(answer["outputs"][1]["data"]).reshape(-1, 2)[:, 1]
            np.testing.assert_allclose(given, coded.model.predict_proba(ROWS)[:, 1], atol=1e-5)
            gateway.router.lane("cancer").version.close()

    asyncio.run(scenario())
