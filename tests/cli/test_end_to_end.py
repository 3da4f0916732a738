"""From a model file to production and back by the command line alone, on real parts: MLflow, ledger, lake, gateway, controller."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import polars as pl
import pytest
from homes import post, wait_for, workspace_at
from onnx import TensorProto, helper
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from prodml_magics.actions.drain import REPAIR_SECONDS, Mirroring
from prodml_magics.actions.services import Services
from prodml_magics.actions.up import down
from prodml_magics.actions.workspace import Workspace
from prodml_magics.cli.main import main
from prodml_magics.clock import ManualClock
from prodml_magics.wire.requests import Down

TRAIN = ["--train", "train.parquet", "target", "--test", "test.parquet", "target"]
NUMBERS = np.array([[0.0], [1.0], [0.1], [0.9]])
ROW = {"age": 41.0, "income": 3.5, "city": "Bern", "plan": "a"}


def customers(rows: int = 600) -> pl.DataFrame:
    """Numbers and text; missing incomes and cities, no missing age or plan."""
    rng = np.random.default_rng(0)
    age, income = rng.integers(18, 90, rows).astype(float), rng.normal(3, 1, rows)
    city, plan = rng.choice(["Basel", "Bern", "Chur"], rows), rng.choice(["a", "b"], rows)
    bought = age / 50 + income + 2 * (city == "Bern") + rng.normal(0, 0.5, rows) > 5.5
    frame = pl.DataFrame({"age": age, "income": income, "city": city, "plan": plan, "target": np.where(bought, "yes", "no")})
    lost = pl.Series(rng.random(rows))
    return frame.with_columns(
        income=pl.when(lost < 0.1).then(None).otherwise("income"), city=pl.when(lost > 0.95).then(None).otherwise("city")
    )


def fitted(frame: pl.DataFrame, c: float) -> Pipeline:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = [("numbers", numbers, ["age", "income"]), ("words", OneHotEncoder(handle_unknown="ignore"), ["city", "plan"])]
    return make_pipeline(ColumnTransformer(columns), LogisticRegression(C=c)).fit(
        frame.drop("target"), frame["target"].to_numpy()
    )


def doubling_file() -> bytes:
    """A ready ONNX file with its own tensor names and no named columns."""
    node = helper.make_node("Add", ["pixels", "pixels"], ["brightness"])
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("pixels", "brightness")]
    graph = helper.make_graph([node], "doubling", tensors[:1], tensors[1:])
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())


class Shop:
    """A folder with model files and frames, its home, and the terminal in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        frame = customers()
        self.train, self.test = frame[:400], frame[400:]
        self.train.write_parquet(folder / "train.parquet")
        self.test.write_parquet(folder / "test.parquet")
        self.models = [fitted(self.train, c) for c in (1.0, 0.01)]
        for number, model in enumerate(self.models, 1):
            joblib.dump(model, folder / f"model{number}.joblib")
        (folder / "doubling.onnx").write_bytes(doubling_file())
        np_rows = np.random.default_rng(1).normal(size=(300, 2)).astype(np.float32)
        pl.DataFrame(np_rows, schema=["left", "right"]).write_parquet(folder / "pixels.parquet")
        self.workspace = workspace_at(folder / ".prodml")

    def prodml(self, *words: str) -> Any:
        """The record of a command, run here: MLflow takes 5 s to load in each new process."""
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            assert main([*words, "--json"]) == 0
        return json.loads(shown.getvalue())

    def terminal(self, *words: str) -> Any:
        """The record of a command in a cold terminal."""
        line = [sys.executable, "-m", "prodml_magics", *words, "--json"]
        done = subprocess.run(line, cwd=self.folder, capture_output=True, text=True, check=False, env=environment(), timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def versions(self, name: str) -> tuple[int, ...]:
        return self.workspace.registry.versions(name)

    def aliases(self, name: str) -> dict[str, int]:
        return self.workspace.registry.aliases(name)

    def state(self) -> tuple[Any, ...]:
        """Everything that a refused command must leave as it is."""
        names = self.workspace.registry.names()
        return self.workspace.ledger.last_id(), {name: (self.versions(name), self.aliases(name)) for name in names}

    def predict(self, row: Any, name: str = "shop") -> tuple[int, Any]:
        return post(f"{self.url()}/predict/{name}", row)

    def url(self) -> str:
        return Services(self.workspace).url() or ""


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith(("PRODML", "MLFLOW"))}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """shop@1 live, shop@2 registered, doubling@1 live; the services run."""
    found = Shop(tmp_path_factory.mktemp("shop"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(found.folder)
        for key in list(os.environ):
            if key.startswith(("PRODML", "MLFLOW")):
                patch.delenv(key)
        assert main(["register", "model1.joblib", "--trust", "--name", "shop", *TRAIN]) == 0
        assert main(["deploy", "shop", "--why", "the first one"]) == 0
        assert main(["register", "doubling.onnx", "--name", "doubling", "--train", "pixels.parquet"]) == 0
        assert main(["deploy", "doubling@1"]) == 0
        assert main(["register", "model2.joblib", "--trust", "--name", "shop", *TRAIN, "--description", "stiffer"]) == 0
        try:
            yield found
        finally:
            down(found.workspace, Down())
            found.workspace.close()


@pytest.fixture
def in_shop(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.chdir(shop.folder)
    for key in list(os.environ):
        if key.startswith(("PRODML", "MLFLOW")):
            monkeypatch.delenv(key)
    return shop


def test_aliases_follow_registration_and_deployment(shop: Shop) -> None:
    assert shop.versions("shop") == (1, 2)
    assert shop.aliases("shop") == {"candidate": 2, "live": 1}
    assert shop.aliases("doubling") == {"candidate": 1, "live": 1}


def test_named_rows_get_scikit_learn_s_own_answers(shop: Shop) -> None:
    rows = shop.test.drop("target")
    expected = shop.models[0].predict_proba(rows)
    for index, row in enumerate(rows[:40].iter_rows(named=True)):
        status, answer = shop.predict(row)
        assert (status, answer["model_version"], answer["parameters"]) == (200, "1", {"arm": "live"})
        (prediction,) = answer["predictions"]
        assert prediction["label"] == shop.models[0].predict(rows[index : index + 1])[0]
        assert [prediction["probabilities"][label] for label in ("no", "yes")] == pytest.approx(expected[index], abs=1e-5)
    assert rows[:40].null_count().row(0) != (0, 0, 0, 0)


def test_null_is_data_where_training_had_missing_values_and_422_elsewhere(shop: Shop) -> None:
    for name in ("income", "city"):
        assert shop.predict({**ROW, name: None})[0] == 200
    for name in ("age", "plan"):
        status, answer = shop.predict({**ROW, name: None})
        assert (status, f"'{name}'" in answer["error"]) == (422, True)


def test_an_unseen_category_is_answered_as_scikit_learn_answers_it(shop: Shop) -> None:
    status, answer = shop.predict({**ROW, "city": "Zürich"})
    expected = shop.models[0].predict_proba(pl.DataFrame([{**ROW, "city": "Zürich"}]))[0]
    assert status == 200
    assert [answer["predictions"][0]["probabilities"][label] for label in ("no", "yes")] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("row", "status"),
    [
        ({**ROW, "age": "41"}, 422),
        ({**ROW, "city": 7}, 422),
        ({**ROW, "agee": 1}, 422),
        ({name: value for name, value in ROW.items() if name != "plan"}, 422),
        ({**ROW, "income": 1e39}, 422),
        ([], 400),
    ],
)
def test_a_row_that_breaks_the_contract_is_told_which_column(shop: Shop, row: Any, status: int) -> None:
    code, answer = shop.predict(row)
    assert code == status and answer["error"].isprintable()


@pytest.mark.parametrize(
    "name", ["..%2fshop", "..", "a%20b", "%3Cscript%3E", "%F0%9F%98%80", "a" * 300, "'shop'", "shop%40live2"]
)
def test_a_name_that_is_no_model_is_404_over_http(shop: Shop, name: str) -> None:
    for path in (f"/predict/{name}", f"/v2/models/{name}/infer"):
        status, answer = post(shop.url() + path, ROW)
        assert status == 404 and answer["error"].isprintable()


def test_a_ready_file_keeps_its_own_tensor_names(shop: Shop) -> None:
    tensor = {"name": "pixels", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}
    status, answer = post(f"{shop.url()}/v2/models/doubling/infer", {"inputs": [tensor]})
    (output,) = answer["outputs"]
    assert status == 200
    assert (output["name"], output["shape"], output["data"]) == ("brightness", [2, 2], [2, 4, 6, 8])


def bad_frames(shop: Shop) -> dict[str, tuple[list[str], str]]:
    """Command lines that must be refused, with what must be said."""
    train, test = shop.train, shop.test
    frames = {
        "infinite": test.with_columns(age=pl.when(pl.int_range(pl.len()) == 3).then(float("inf")).otherwise("age")),
        "missing": test.with_columns(age=pl.when(pl.int_range(pl.len()) == 3).then(None).otherwise("age")),
        "empty": test.clear(),
        "narrow": test.drop("city"),
        "wide": test.with_columns(extra=1),
        "renamed": test.rename({"city": "town"}),
        "retyped": test.with_columns(pl.col("city").is_null().cast(pl.Float64)),
        "reordered": test.select("income", "age", "city", "plan", "target"),
    }
    for name, frame in frames.items():
        frame.write_parquet(shop.folder / f"{name}.parquet")
    train.drop("city").write_parquet(shop.folder / "narrow_train.parquet")
    joblib.dump(LogisticRegression(), shop.folder / "unfitted.joblib")
    joblib.dump(FunctionTransformer(np.abs).fit(NUMBERS), shop.folder / "transformer.joblib")
    pl.DataFrame({"x0": NUMBERS[:, 0]}).write_parquet(shop.folder / "numbers.parquet")
    joblib.dump({"not": "a model"}, shop.folder / "other.joblib")
    (shop.folder / "broken.joblib").write_bytes(b"\x80\x05 no pickle\nat all")
    model = ["register", "model1.joblib", "--trust", "--name", "shop", "--train", "train.parquet", "target", "--test"]
    return {
        "infinite": ([*model, "infinite.parquet", "target"], "column 'age' is infinite in row 3"),
        "missing": ([*model, "missing.parquet", "target"], "'age'"),
        "empty": ([*model, "empty.parquet", "target"], "no rows"),
        "narrow": ([*model, "narrow.parquet", "target"], "'city'"),
        "wide": ([*model, "wide.parquet", "target"], "'extra'"),
        "renamed": ([*model, "renamed.parquet", "target"], "'city'"),
        "retyped": ([*model, "retyped.parquet", "target"], "'city'"),
        "untrusted": (["register", "model1.joblib", "--name", "shop", *TRAIN], "is a pickle, which can run any code"),
        "unfitted": (
            ["register", "unfitted.joblib", "--trust", "--name", "shop", *TRAIN],
            "LogisticRegression is not fitted yet",
        ),
        "other": (["register", "other.joblib", "--trust", "--name", "shop", *TRAIN], "is no model"),
        "broken": (["register", "broken.joblib", "--trust", "--name", "shop", *TRAIN], "cannot be loaded"),
        "transformer": (
            ["register", "transformer.joblib", "--trust", "--name", "shop", "--train", "numbers.parquet"],
            "FunctionTransformer has no predict",
        ),
        "reordered": ([*model, "reordered.parquet", "target"], "order"),
        "no train": (["register", "model1.joblib", "--trust", "--name", "shop"], "add --train X y"),
        "train": ([*model[:5], "--train", "narrow_train.parquet", "target"], "'city'"),
        "task": ([*model, "test.parquet", "target", "--task", "regression"], "the model does classification, not regression"),
        "frame": ([*model[:5], "--train", "model1.joblib"], "model1.joblib is not a frame that can be read"),
        "target": ([*model[:5], "--train", "train.parquet", "tarjet"], "tarjet"),
        "name": (["register", "model1.joblib", "--trust", "--name", "a/b", *TRAIN], "'a/b' cannot name a model"),
        "version": (["deploy", "shop@9"], "shop has no version 9; it has 1, 2"),
        "alias": (["deploy", "shop@previous"], "shop has no alias 'previous'"),
        "unknown": (["deploy", "shoe"], "there is no model 'shoe'; registered are doubling, shop"),
        "shadow": (["shadow", "shop@9"], "shop has no version 9"),
        "live": (["shadow", "shop@1"], "version 1 of shop is live"),
        "rollback": (["rollback", "shop"], "shop has no previous version"),
    }


def test_bad_input_is_one_line_and_changes_neither_ledger_nor_mlflow(in_shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    before = in_shop.state()
    capsys.readouterr()
    for case, (words, needle) in bad_frames(in_shop).items():
        assert main(words) in (1, 3), case
        shown = capsys.readouterr()
        assert shown.out == "" and shown.err.count("\n") == 1, (case, shown)
        assert needle in shown.err, (case, shown.err)
        assert "; " in shown.err, (case, shown.err)
        assert in_shop.state() == before, case


def test_a_version_in_shadow_then_live_then_back_again(in_shop: Shop) -> None:
    shop = in_shop
    began = shop.prodml("shadow", "shop@2", "--why", "stiffer")
    assert (began["version"], began["shadows"]) == (1, [2])
    rows = shop.test.drop("target")
    for row in rows.iter_rows(named=True):
        assert shop.predict(row)[0] == 200
    wait_for(lambda: shadow_rows(shop) == rows.height)
    (compared,) = shop.prodml("shadow", "shop")["comparisons"]
    agreement = (shop.models[0].predict(rows) == shop.models[1].predict(rows)).mean()
    assert (compared["live"], compared["shadow"], compared["pairs"]) == (1, 2, rows.height)
    assert compared["agreement"] == pytest.approx(agreement)
    assert 0 < compared["max_difference"] < 1

    drift = shop.prodml("drift", "shop", "--last", str(rows.height))
    assert (drift["drifted"], drift["verdict"], drift["window"]["rows"]) == ([], "no drift", rows.height)
    for row in rows.iter_rows(named=True):
        assert shop.predict({**row, "age": row["age"] * 12})[0] == 200
    drift = shop.prodml("drift", "shop", "--last", str(rows.height), "--columns", "age", "income", "city", "plan")
    assert (drift["drifted"], drift["verdict"], drift["seen_until"]) == (["age"], "drift", None)

    live = shop.prodml("deploy", "shop@2")
    assert (live["version"], live["previous"], live["shadows"], live["serving"]) == (2, 1, [], True)
    assert live["url"].endswith("/v2/models/shop") and live["note"] == ""
    assert shop.aliases("shop") == {"candidate": 2, "live": 2, "previous": 1}
    assert shop.predict(ROW)[1]["model_version"] == "2"

    back = shop.terminal("rollback", "shop", "--why", "sensor trouble")
    assert (back["version"], back["previous"], back["seconds"] < 1.0) == (1, 2, True)
    assert shop.predict(ROW)[1]["model_version"] == "1"
    wait_for(lambda: shop.aliases("shop") == {"candidate": 2, "live": 1, "previous": 2}, 30)

    again = shop.prodml("undo")
    assert (again["kind"], again["version"], again["previous"]) == ("undo", 2, 1)
    assert shop.aliases("shop") == {"candidate": 2, "live": 2, "previous": 1}
    seen = shop.terminal("status")
    assert (seen["gateway"]["state"], seen["controller"]["state"]) == ("up", "up")
    assert [(each["name"], each["live"], each["previous"], each["versions"]) for each in seen["models"]] == [
        ("doubling", 1, None, [1]),
        ("shop", 2, 1, [1, 2]),
    ]
    assert seen["models"][1]["traffic"]["rows"] >= 2 * rows.height
    entries = shop.prodml("timeline", "shop")["entries"]
    assert [(each["kind"], each["live"], each["cause"]) for each in entries] == [
        ("register", None, ""),
        ("deploy", 1, "the first one"),
        ("register", 1, ""),
        ("shadow", 1, "stiffer"),
        ("deploy", 2, ""),
        ("rollback", 1, "sensor trouble"),
        ("undo", 2, f"undo of entry {entries[5]['id']} (rollback)"),
    ]

    assert shop.prodml("undeploy", "shop")["version"] is None
    assert shop.predict(ROW)[0] == 404
    wait_for(lambda: shop.aliases("shop") == {"candidate": 2}, 30)
    assert shop.terminal("down")["changed"] is True
    assert shop.prodml("status")["gateway"]["state"] == "down"


def shadow_rows(shop: Shop) -> int:
    report = Services(shop.workspace).gateway()
    assert report is not None
    return next(each.traffic.shadow_rows for each in report.models if each.name == "shop")


def test_aliases_that_somebody_moved_are_repaired(shop: Shop) -> None:
    clock = ManualClock()
    mirroring = Mirroring(Workspace(shop.workspace.home, actor="controller", clock=clock, environment={}))
    assert mirroring.mirror()
    assert not mirroring.mirror()
    shop.workspace.registry.set_alias("doubling", "live", None)
    shop.workspace.registry.set_alias("doubling", "previous", 1)
    clock.advance(REPAIR_SECONDS)
    assert mirroring.mirror() and mirroring.problems == {}
    assert shop.aliases("doubling") == {"candidate": 1, "live": 1}


def test_the_workspace_of_another_folder_knows_nothing_of_it(shop: Shop, tmp_path: Path) -> None:
    elsewhere = Workspace.open(tmp_path) if not os.environ.get("PRODML_HOME") else workspace_at(tmp_path / ".prodml")
    assert elsewhere.home == tmp_path / ".prodml" and elsewhere.versions("shop") == ()
    assert Workspace.open(shop.folder / "deeper" / "still").home == shop.folder / ".prodml"


def test_a_registration_counts_what_it_would_refuse_of_what_clients_sent(in_shop: Shop) -> None:
    """Held against the gateway itself: the same rows, once the version is live."""
    shop = in_shop
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    words = make_pipeline(SimpleImputer(missing_values=None, strategy="most_frequent"), OneHotEncoder())
    columns = [("numbers", numbers, ["income"]), ("age", StandardScaler(), ["age"]), ("words", words, ["city", "plan"])]
    whole = shop.train.drop_nulls("income")
    strict = make_pipeline(ColumnTransformer(columns), LogisticRegression()).fit(whole.drop("target"), whole["target"].to_numpy())
    joblib.dump(strict, shop.folder / "strict.joblib")
    whole.write_parquet(shop.folder / "whole.parquet")
    shop.prodml("register", "model1.joblib", "--trust", "--name", "door", *TRAIN)
    shop.prodml("deploy", "door@1")
    rows = list(shop.test.drop("target")[:60].iter_rows(named=True))
    rows = [{**row, "city": "Zug"} if place % 5 == 0 else row for place, row in enumerate(rows)]
    assert {shop.predict(row, "door")[0] for row in rows} == {200}
    wait_for(lambda: recorded_rows(shop, "door") == len(rows))
    test = ["--train", "whole.parquet", "target", "--test", "whole.parquet", "target"]
    change = shop.prodml("register", "strict.joblib", "--trust", "--name", "door", *test)["contract"]
    assert (change["version"], change["compatibility"], change["rows"]) == (1, "FORWARD", len(rows))
    assert "column 'city' refuses levels that it was not fitted on now" in change["changes"]
    shop.prodml("deploy", "door@2")
    refused = sum(shop.predict(row, "door")[0] == 422 for row in rows)
    assert change["refused"] == refused
    assert len(rows) / 5 < refused < len(rows) / 2
    shop.prodml("down")


def recorded_rows(shop: Shop, name: str) -> int:
    found = shop.workspace.lake.scan(name, arms=("live",), versions=(1,))
    return 0 if found is None else found.collect().height
