from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from prodml_magics.contract.schema import write_contract
from prodml_magics.errors import GateRefused, InvalidInput, NotFound, Unavailable
from prodml_magics.registry.build import build
from prodml_magics.registry.parity import write_parity
from prodml_magics.registry.store import Registry
from prodml_magics.wire.routes import MODEL_FILES


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def registry(home):
    return Registry(f"sqlite:///{home}/mlflow.db", str(home / "mlartifacts"))


def files(candidate):
    return {
        MODEL_FILES[candidate.flavor]: candidate.model,
        "contract.json": write_contract(candidate.contract),
        "parity.json": write_parity(candidate.parity),
        "samples.json": candidate.samples,
    }


def log(registry, candidate, name="cancer"):
    return registry.log_version(
        name,
        files(candidate),
        contract=candidate.contract,
        metrics=candidate.metrics,
        tags={"team": "a"},
        description="the first",
    )


@pytest.fixture(scope="module")
def versions(registry, candidate):
    return [log(registry, candidate), log(registry, candidate)]


def test_versions_are_numbered_and_found(registry, versions):
    assert versions == [1, 2]
    assert registry.versions("cancer") == (1, 2)
    assert registry.names() == ("cancer",)
    assert registry.resolve("cancer", 2) == 2
    assert registry.versions("other") == ()


def test_aliases_point_and_are_taken_away(registry, versions):
    registry.set_alias("cancer", "candidate", 2)
    registry.set_alias("cancer", "live", 1)
    assert registry.aliases("cancer") == {"candidate": 2, "live": 1}
    assert registry.resolve("cancer", "candidate") == 2
    registry.set_alias("cancer", "live", None)
    registry.set_alias("cancer", "live", None)
    assert registry.aliases("cancer") == {"candidate": 2}
    assert registry.aliases("other") == {}


def test_what_is_not_there_is_told_with_what_is(registry, versions):
    with pytest.raises(NotFound, match="cancer has no version 9; it has 1, 2"):
        registry.resolve("cancer", 9)
    with pytest.raises(NotFound, match="no alias 'previous'"):
        registry.resolve("cancer", "previous")
    with pytest.raises(NotFound, match="no model 'cancr'; registered are cancer"):
        registry.resolve("cancr", 1)
    with pytest.raises(NotFound):
        registry.set_alias("cancer", "live", 9)
    with pytest.raises(InvalidInput):
        registry.versions("a/../b")


def test_a_fetched_version_is_what_was_registered(registry, versions, candidate, tmp_path):
    hashes = registry.fetch("cancer", 1, tmp_path / "models" / "1")
    assert sorted(hashes) == ["contract.json", "model.onnx", "parity.json", "samples.json"]
    assert (tmp_path / "models" / "1" / "model.onnx").read_bytes() == candidate.model
    assert hashes["model.onnx"] == hashlib.sha256(candidate.model).hexdigest()
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["1"]
    assert registry.fetch("cancer", 1, tmp_path / "models" / "1") == hashes


def test_changed_bytes_are_refused_wherever_they_lie(registry, candidate, home, tmp_path):
    version = log(registry, candidate, "changed")
    registry.fetch("changed", version, tmp_path / "kept")
    (tmp_path / "kept" / "model.onnx").write_bytes(b"other")
    with pytest.raises(GateRefused, match=r"model\.onnx of changed@1 was changed"):
        registry.fetch("changed", version, tmp_path / "kept")
    [stored] = (home / "mlartifacts" / "changed").rglob("contract.json")
    stored.write_bytes(b"{}")
    with pytest.raises(GateRefused, match=r"contract\.json of changed@1 was changed"):
        registry.fetch("changed", version, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_it_is_plain_mlflow(registry, versions, candidate, home):
    import mlflow

    registry.set_alias("cancer", "candidate", 2)
    client = mlflow.MlflowClient(registry.tracking_uri)
    version = client.get_model_version("cancer", "2")
    assert version.tags["team"] == "a"
    assert version.description == "the first"
    run = client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["accuracy"] == candidate.metrics["accuracy"]
    assert all(path.is_relative_to(home) for path in home.rglob("*.onnx"))
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(registry.tracking_uri)
    loaded = mlflow.pyfunc.load_model("models:/cancer@candidate", model_config=None)
    mlflow.set_tracking_uri(before)
    rows = np.array([[float(place) for place in range(30)]], np.float32)
    assert loaded.predict(rows)["probabilities"].shape == (1, 2)
    assert loaded.metadata.signature.inputs.inputs[0].name == "input"


def test_mlflow_loads_a_model_of_coded_text_as_one_that_takes_text(registry):
    import mlflow
    import pandas as pd
    from registry.here import Here
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    frame = pd.DataFrame({"price": [1.0, 2.0, 3.0, 4.0] * 10, "city": ["Bonn", "Ulm", "Bonn", "Köln"] * 10})
    columns = make_column_transformer(("passthrough", ["price"]), (OneHotEncoder(handle_unknown="ignore"), ["city"]))
    model = make_pipeline(columns, LogisticRegression()).fit(frame, [0, 1, 1, 0] * 10)
    candidate = build(model, train=(frame,), converter=Here())
    assert candidate.contract.codes
    log(registry, candidate, "text")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(registry.tracking_uri)
    loaded = mlflow.pyfunc.load_model("models:/text/1")
    mlflow.set_tracking_uri(before)
    asked = {"numeric": np.array([[1.0], [9.0]], np.float32), "categorical": np.array([["Ulm"], ["Rom"]])}
    expected = model.predict_proba(pd.DataFrame({"price": [1.0, 9.0], "city": ["Ulm", "Rom"]}))
    np.testing.assert_allclose(loaded.predict(asked)["probabilities"], expected, atol=1e-5)
    assert "onnx" in loaded.metadata.flavors


def test_the_users_own_tracking_uri_is_left_alone(registry, versions, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    before = mlflow.get_tracking_uri()
    registry.names()
    assert mlflow.get_tracking_uri() == before
    assert os.environ["MLFLOW_TRACKING_URI"] == "sqlite:///elsewhere.db"


def test_processes_and_threads_may_register_at_once(registry, versions, candidate, home):
    code = f"""
from prodml_magics.registry.store import Registry
from prodml_magics.wire.routes import MODEL_FILES
registry = Registry({registry.tracking_uri!r}, {registry.artifact_root!r})
for _ in range(5):
    registry.set_alias("cancer", "previous", 1)
"""
    other = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    made: list[int] = []
    threads = [threading.Thread(target=lambda: made.append(log(registry, candidate, "parallel"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _, stderr = other.communicate(timeout=120)
    assert other.returncode == 0, stderr.decode()
    assert sorted(made) == [1, 2, 3]


def test_a_store_that_cannot_be_used_is_unavailable(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match=r"\AMLflow at [^\n]*cannot be used[^\n]*\Z"):
        Registry(f"sqlite:///{tmp_path}/file/mlflow.db", None).names()


def test_the_password_of_a_store_is_not_shown(tmp_path):
    with pytest.raises(Unavailable) as caught:
        Registry("postgresql://me:hunter2@127.0.0.1:9/none", None).names()
    assert "hunter2" not in str(caught.value)
