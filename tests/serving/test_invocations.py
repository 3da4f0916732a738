"""MLflow's payloads: the same bodies to MLflow's own scoring server and to ours, around one model."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from echo import contract as echo_contract
from echo import values
from serving.test_gateway import serving
from versions import Placed, place

from prodml_magics.errors import ProdmlError
from prodml_magics.serving.invocations import decode_invocation


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Placed:
    return place(tmp_path_factory.mktemp("invocations"), "cancer", 1)


@pytest.fixture(scope="module")
def theirs(one: Placed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """MLflow's scoring server with the same classifier, as an ASGI application."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
        from mlflow.models import infer_signature
        from mlflow.pyfunc import scoring_server

        frame = pd.DataFrame(one.rows.astype(np.float64), columns=names(one))
        path = tmp_path_factory.mktemp("mlflow") / "model"
        mlflow.sklearn.save_model(one.model, str(path), signature=infer_signature(frame, one.model.predict(one.rows)))
        yield scoring_server.init(mlflow.pyfunc.load_model(str(path)))


def names(placed: Placed) -> list[str]:
    return [column.name for column in placed.contract.columns]


def frame(placed: Placed, rows: int) -> pd.DataFrame:
    return pd.DataFrame(placed.rows[:rows].astype(np.float64), columns=names(placed))


def split(table: pd.DataFrame) -> dict[str, Any]:
    return json.loads(table.to_json(orient="split"))


def bodies(placed: Placed) -> dict[str, Any]:
    table = frame(placed, 6)
    shuffled = table[names(placed)[::-1]]
    return {
        "split": {"dataframe_split": split(table)},
        "split in another order": {"dataframe_split": split(shuffled)},
        "split without an index": {"dataframe_split": {k: v for k, v in split(table).items() if k != "index"}},
        "split with a column too many": {"dataframe_split": split(table.assign(hair=1.0))},
        "records": {"dataframe_records": table.to_dict("records")},
        "records in another order": {"dataframe_records": shuffled.to_dict("records")},
        "one record": {"dataframe_records": table.head(1).to_dict("records")},
        "inputs by column": {"inputs": table.to_dict("list")},
        "instances by name": {"instances": table.to_dict("records")},
    }


async def asked(app: Any, path: str, body: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://server", timeout=30) as client:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await client.post(path, content=content, headers={"content-type": "application/json"})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("which", list(bodies(Placed(Path(), None, echo_contract(), None, np.empty((6, 0))))))  # type: ignore[arg-type]
def test_both_servers_answer_alike(one: Placed, theirs: Any, which: str) -> None:
    body = bodies(one)[which]

    async def scenario() -> None:
        expected = await asked(theirs, "/invocations", body)
        assert expected.status_code == 200, expected.text
        async with serving(one) as (gateway, _):
            for path in ("/invocations", "/models/cancer/invocations"):
                given = await asked(gateway.app, path, body)
                assert (given.status_code, given.json()) == (200, expected.json())

    asyncio.run(scenario())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"[]",
        {},
        {"rows": []},
        {"inputs": [], "instances": []},
        {"dataframe_split": []},
        {"dataframe_split": {"columns": ["mean radius"], "data": [[1, 2]]}},
        {"dataframe_split": {"columns": ["mean radius"], "data": [[1]]}},
        {"dataframe_split": {"columns": [["a"]], "data": [[1]]}},
        {"dataframe_records": {"mean radius": 1}},
        {"dataframe_records": [{"mean radius": 1}]},
        {"dataframe_records": ["x"]},
        {"dataframe_records": []},
        {"inputs": {"mean radius": [1, 2], "mean texture": [1]}},
        {"inputs": {}},
        {"inputs": 5},
        {"instances": [[1, 2]]},
        {"instances": "x"},
    ],
)
def test_what_mlflow_refuses_is_refused_here_in_one_line(one: Placed, theirs: Any, body: Any) -> None:
    async def scenario() -> None:
        expected = await asked(theirs, "/invocations", body)
        assert expected.status_code >= 400
        async with serving(one) as (gateway, _):
            before = len(gateway.blocks())
            given = await asked(gateway.app, "/invocations", body)
            assert given.status_code in (400, 422), given.text
            assert (list(given.json()), "\n" in given.json()["error"]) == (["error"], False)
            assert len(gateway.blocks()) == before

    asyncio.run(scenario())


def test_a_body_nested_without_end_is_refused(one: Placed) -> None:
    async def scenario() -> None:
        async with serving(one) as (gateway, _):
            for body in (b"[" * 100_000, b'{"inputs":' * 100_000, b'{"inputs":' + b"[" * 500 + b"]" * 500 + b"}"):
                assert (await asked(gateway.app, "/invocations", body)).status_code == 400

    asyncio.run(scenario())


def test_rows_may_stand_in_the_order_of_the_columns_and_tensors_under_their_names(one: Placed) -> None:
    rows = one.rows[:4]
    expected = {"predictions": one.model.predict(rows).tolist()}

    async def scenario() -> None:
        async with serving(one) as (gateway, client):
            for body in ({"inputs": rows.tolist()}, {"instances": rows.tolist()}, {"inputs": {"input": rows.tolist()}}):
                given = await asked(gateway.app, "/invocations", body)
                assert given.json() == expected, body.keys()
            assert {status for block in gateway.blocks() for status in block.status} == {200}
            assert (await client.get("/ping")).status_code == (await client.get("/health")).status_code == 200
            assert (await asked(gateway.app, "/models/nobody/invocations", {"inputs": []})).status_code == 404

    asyncio.run(scenario())


def test_without_a_name_there_must_be_one_model(one: Placed) -> None:
    async def scenario() -> None:
        async with serving(one) as (gateway, _):
            from prodml_magics.wire.routes import Route

            for name, live, status in (("other", 1, 404), ("other", None, 200)):
                route = Route(model=name, revision=2 if live is None else 1, live=live, files=(one.files,))
                assert await gateway.router.apply({"cancer": gateway.router.route("cancer"), name: route}, 2) == {}  # type: ignore[dict-item]
                given = await asked(gateway.app, "/invocations", {"inputs": one.rows[:1].tolist()})
                assert given.status_code == status, given.text

    asyncio.run(scenario())


@pytest.mark.parametrize("by_row", [True, False])
def test_tensors_of_every_datatype_are_taken_by_name(by_row: bool) -> None:
    sent = {f"in_{name}": array.tolist() for name, array in values().items()}
    rows = [{name: cells[row] for name, cells in sent.items()} for row in range(3)]
    tensors, count = decode_invocation(echo_contract(), json.dumps({"instances": rows} if by_row else {"inputs": sent}).encode())
    assert count == 3
    for name, array in values().items():
        assert tensors[f"in_{name}"].dtype == array.dtype
        np.testing.assert_array_equal(tensors[f"in_{name}"], array)


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": [], "data": []}},
        {"inputs": {"in_FP32": [[1, 2]]}},
        {"inputs": {"nothing": [[1, 2]]}},
        {"inputs": {"in_FP32": 5}},
        {"inputs": [[1, 2]]},
        {"instances": [{"in_FP32": [1, 2]}, {"in_FP64": [1, 2]}]},
        {"inputs": {f"in_{name}": [[1], [2, 3]] for name in values()}},
        {"inputs": {f"in_{name}": [[[[[[[[[[1]]]]]]]]]] for name in values()}},
        {"inputs": {}, "params": {"a": 1}},
    ],
)
def test_tensors_that_are_not_the_models_are_refused(body: Any) -> None:
    with pytest.raises(ProdmlError) as caught:
        decode_invocation(echo_contract(), json.dumps(body).encode())
    assert caught.value.http_status in (400, 422)
