"""Variants of a network, measured, kept with its version, and deployed as versions of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from homes import workspace_at
from registry.here import Here
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier

from prodml_magics.actions.deploy import deploy
from prodml_magics.actions.optimize import optimize, profile_rows, variant_file
from prodml_magics.actions.register import register
from prodml_magics.actions.variants import as_version
from prodml_magics.actions.workspace import Workspace
from prodml_magics.contract.samples import read_samples
from prodml_magics.contract.schema import write_contract
from prodml_magics.errors import GateRefused, InvalidInput, NotFound, Unsupported, UsageError
from prodml_magics.inference.session import open_session
from prodml_magics.stats.drift import prepare, to_arrow
from prodml_magics.wire.requests import Deploy, Optimize, Register

ROWS, TARGET = load_digits(return_X_y=True)
ROWS = ROWS.astype(np.float32)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with workspace_at(tmp_path_factory.mktemp("optimize") / ".prodml") as workspace:
        network = MLPClassifier((256, 256), max_iter=12, random_state=0)
        trees = RandomForestClassifier(5, random_state=0)
        with pytest.warns(match="Maximum iterations"):
            network.fit(ROWS[:900], TARGET[:900])
        for name, model in (("digits", network), ("trees", trees.fit(ROWS[:900], TARGET[:900]))):
            request = Register(model=model, name=name, train=(ROWS[:900], TARGET[:900]))
            register(workspace, request, converter=Here())  # type: ignore[arg-type]
        yield workspace


@pytest.fixture(scope="module")
def made(home: Workspace) -> Any:
    return optimize(home, Optimize(model="digits@1", test=(ROWS[900:], TARGET[900:]), max_drop="2%"))


def test_every_variant_is_measured_beside_the_version(made: Any) -> None:
    assert [each.name for each in made.variants] == ["original", "graph", "int8", "int8-static", "fp16"]
    original, *others = made.variants
    assert original.score > 0.9 and original.changed == 0 and original.drop == 0
    smaller = {each.name: each.size_bytes / original.size_bytes for each in others if each.size_bytes}
    assert smaller["int8"] < 0.5
    assert smaller["fp16"] < 0.7
    assert {each.name for each in others if each.kept} >= {"graph", "int8"}
    for each in others:
        assert each.kept == (each.size_bytes > 0 and each.drop <= 0.02), each
        assert bool(each.reason) != each.kept
    assert made.chosen in {None, *(each.name for each in others if each.kept)}
    assert made.rows == len(ROWS) - 900
    assert all(
        title in text for title in ("µs, 1 row", "µs, 32 rows", "µs, 128 rows") for text in (str(made), made._repr_html_())
    )


def test_scores_are_told_near_the_threshold_and_by_parts_as_counting_says(home: Workspace, made: Any) -> None:
    original, *others = made.variants
    session = open_session((home.folder("digits", 1) / "model.onnx").read_bytes(), device="cpu")
    outputs = session.run({"input": ROWS[900:].astype(np.float32)})
    right = outputs["label"] == TARGET[900:]
    best = np.sort(outputs["probabilities"], axis=1)
    near = best[:, -1] - best[:, -2] < 0.1
    assert original.score_near == pytest.approx(right[near].mean())
    assert original.parts == ()
    for each in others:
        for part in each.parts:
            assert part.score < part.original <= 1
            assert part.rows >= 30
            if part.part.startswith("label "):
                mine = TARGET[900:] == int(part.part.removeprefix("label "))
                assert (part.rows, part.original) == (mine.sum(), pytest.approx(right[mine].mean()))
    assert made.picture() is not None


def test_activations_are_calibrated_on_training_rows(home: Workspace, made: Any, tmp_path: Path) -> None:
    assert made.calibrated_on == "512 training rows of the profile"
    profile = home.folder("digits", 1) / "profile.arrow"
    contract = home.contract("digits", 1)
    kept = profile_rows(profile, contract)
    assert kept is not None
    trained = {tuple(row) for row in ROWS[:900].astype(np.float32).tolist()}
    assert {tuple(row) for row in np.round(kept["input"]).tolist()} == trained
    np.testing.assert_allclose(kept["input"], np.round(kept["input"]), atol=1e-4)
    masked = prepare({column.name: ROWS[:900, place] for place, column in enumerate(contract.columns)}, masked={"x3"})
    (tmp_path / "profile.arrow").write_bytes(to_arrow(masked))
    assert profile_rows(tmp_path / "profile.arrow", contract) is None
    assert profile_rows(tmp_path / "no.arrow", contract) is None


def test_a_kept_variant_is_a_version_of_its_own(home: Workspace, made: Any) -> None:
    with pytest.raises(InvalidInput, match="is no version yet"):
        deploy(home, Deploy(model="digits@1", variant="int8", dry_run=True))
    version = as_version(home, "digits", 1, "int8")
    assert version == 2
    assert as_version(home, "digits", 1, "int8") == 2
    folder = home.folder("digits", version)
    original = home.folder("digits", 1)
    assert (folder / "contract.json").read_bytes() == (original / "contract.json").read_bytes()
    samples = read_samples((folder / "samples.json").read_bytes())
    given = open_session((folder / "model.onnx").read_bytes(), device="cpu").run(samples.inputs)
    np.testing.assert_array_equal(given["probabilities"], samples.outputs["probabilities"])
    before = read_samples((original / "samples.json").read_bytes())
    assert not np.array_equal(before.outputs["probabilities"], samples.outputs["probabilities"])
    assert home.files("digits", version).version == 2
    plan = deploy(home, Deploy(model="digits@1", variant="int8", dry_run=True))
    assert "version 2 would be live" in plan.note


def test_a_variant_that_was_not_made_or_was_changed_is_refused(home: Workspace, made: Any) -> None:
    with pytest.raises(NotFound, match=r"has no model\.int8\.onnx; make it with %optimize trees@1"):
        as_version(home, "trees", 1, "int8")
    [stored] = Path(home.home).rglob(f"mlartifacts/**/{variant_file('graph')}")
    stored.write_bytes(b"other")
    with pytest.raises(GateRefused, match=r"model\.graph\.onnx of digits@1 was changed"):
        as_version(home, "digits", 1, "graph")


def test_a_file_that_was_registered_elsewhere_passes_the_gate_here_or_is_not_loaded(home: Workspace, tmp_path: Path) -> None:
    environment = {"MLFLOW_TRACKING_URI": home.tracking_uri}
    with Workspace(tmp_path / ".prodml", actor="bob@desk (test)", clock=home.clock, environment=environment) as other:
        assert other.files("trees", 1).isolate
        node = onnx.helper.make_node("Evil", ["input"], ["label"], domain="my.ops")
        sides = [onnx.helper.make_tensor_value_info(name, 1, [None, 64]) for name in ("input", "label")]
        graph = onnx.helper.make_graph([node], "evil", sides[:1], sides[1:])
        opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("my.ops", 1)]
        model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
        contract = home.contract("trees", 1)
        files = {"model.onnx": model, "contract.json": write_contract(contract)}
        version = home.registry.log_version("evil", files, contract=contract, metrics={})
        with pytest.raises(GateRefused, match="evil@1 was registered elsewhere and is not loaded: operator 'Evil'"):
            other.files("evil", version)


def test_what_cannot_be_optimised_is_said(home: Workspace) -> None:
    with pytest.raises(Unsupported, match="trees take no INT8"):
        optimize(home, Optimize(model="trees@1", test=(ROWS[900:], TARGET[900:])))
    with pytest.raises(Unsupported, match="100 rows are too few"):
        optimize(home, Optimize(model="digits@1", test=(ROWS[:100],)))
    with pytest.raises(UsageError, match="add --test X y"):
        optimize(home, Optimize(model="digits@1"))
    with pytest.raises(UsageError, match="'lots' is no share"):
        optimize(home, Optimize(model="digits@1", test=(ROWS,), max_drop="lots"))
