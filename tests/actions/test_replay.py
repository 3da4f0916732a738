"""Replay: recorded requests through another version, beside what was answered; what cannot be replayed is one line."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from homes import add_version, go_live
from rehearsal import clock

from prodml_magics.actions.contracts import contract_change
from prodml_magics.actions.drain import Draining
from prodml_magics.actions.labels import labels
from prodml_magics.actions.replay import replay
from prodml_magics.actions.workspace import Workspace
from prodml_magics.clock import ManualClock
from prodml_magics.errors import GateRefused, InvalidInput, NotFound, ProdmlError, UsageError
from prodml_magics.inference.session import open_session
from prodml_magics.storage.arrays import to_array
from prodml_magics.storage.blocks import Block
from prodml_magics.storage.spool import SpoolWriter
from prodml_magics.wire.requests import Labels, Replay

ROWS = 2_000
ALIKE, MISTAKEN, FAILING = 4, 5, 6


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """cancer@1 live with recorded requests, and candidates beside it; tests here only read."""
    manual = Workspace(
        tmp_path_factory.mktemp("replay") / ".prodml", actor="ann@laptop (test)", clock=ManualClock(), environment={}
    )
    placed = add_version(manual, 1)
    above = float(np.quantile(placed.rows[:, 0], 0.9))
    add_version(manual, 2, c=1e-6)
    add_version(manual, ALIKE)
    add_version(manual, MISTAKEN, mistaken=above)
    add_version(manual, FAILING, fails=float(np.quantile(placed.rows[:, 0], 0.97)))
    go_live(manual, 1)
    sent = placed.rows[np.arange(ROWS) % len(placed.rows)]
    answer(manual, sent)
    return manual


def answer(workspace: Workspace, rows: np.ndarray, keys: list[str] | None = None) -> None:
    """Requests of one row each, answered by version 1 and drained into the lake."""
    session = open_session((workspace.folder("cancer", 1) / "model.onnx").read_bytes())
    outputs = session.run({"input": rows})
    writer, now = SpoolWriter(workspace.home / "spool"), workspace.clock.now().timestamp()
    writer.append(
        Block(
            model="cancer",
            version=1,
            arm="live",
            sequence=writer.sequence,
            request_ids=[f"r{index}" for index in range(len(rows))],
            request_rows=[1] * len(rows),
            received_at=[now + index / 1e3 for index in range(len(rows))],
            latency_ms=[1.0] * len(rows),
            run_ms=1.0,
            status=[200] * len(rows),
            keys=keys or [""] * len(rows),
            inputs={"input": to_array(rows)},
            outputs={name: to_array(values) for name, values in outputs.items()},
        )
    )
    writer.close()
    Draining(workspace).drain()
    clock(workspace).advance(3_600)


def test_a_registration_says_what_recorded_requests_it_would_refuse(recorded: Workspace) -> None:
    contract = recorded.contract("cancer", 1)
    first, *others = contract.columns
    same = contract_change(recorded, "cancer", contract)
    assert same is not None
    assert (same.version, same.compatibility, same.changes, same.rows, same.refused) == (1, "FULL", (), ROWS, 0)
    flag = msgspec.structs.replace(first, dtype="bool", minimum=0, maximum=1)
    narrower = contract_change(recorded, "cancer", msgspec.structs.replace(contract, columns=(flag, *others)))
    assert narrower is not None
    assert (narrower.compatibility, narrower.refused) == ("NONE", ROWS)
    assert narrower.changes == (f"column {first.name!r} was {first.dtype} and is bool",)
    fewer = contract_change(recorded, "cancer", msgspec.structs.replace(contract, columns=tuple(others)))
    assert fewer is not None
    assert fewer.refused == ROWS and fewer.changes == (f"column {first.name!r} was removed",)
    assert contract_change(recorded, "another", contract) is None


def test_the_same_model_answers_the_same_and_is_no_worse(recorded: Workspace) -> None:
    found = replay(recorded, Replay(model=f"cancer@{ALIKE}"))
    pairs = found.comparison
    assert (found.verdict, pairs.pairs, pairs.agreement, pairs.shadow_errors) == ("no worse", ROWS, 1.0, 0)
    assert pairs.max_difference < 1e-6 and found.window.rows == ROWS and found.device == "cpu"
    assert "replayed beside version 1 on 2,000 rows: no worse" in str(found) and "rows/s" in str(found)
    assert found.frame["verdict"].to_list() == ["no worse"]


def test_the_differences_are_those_of_a_slow_loop(recorded: Workspace) -> None:
    found = replay(recorded, Replay(model="cancer@2")).comparison
    models = [open_session((recorded.folder("cancer", each) / "model.onnx").read_bytes()) for each in (1, 2)]
    rows = recorded.lake.rows("cancer").sort("sequence")["inputs"].struct.unnest().to_numpy().astype(np.float32)
    (one, other) = ([model.run({"input": row[None]}) for row in rows[:569]] for model in models)
    differ = [a["label"][0] != b["label"][0] for a, b in zip(one, other, strict=True)]
    moved = [float(b["probabilities"][0, 1] - a["probabilities"][0, 1]) for a, b in zip(one, other, strict=True)]
    whole = np.arange(ROWS) % 569  # the rows of the data, again and again
    assert 1 - found.agreement == pytest.approx(np.array(differ)[whole].mean())
    assert found.mean_difference == pytest.approx(np.array(moved)[whole].mean(), abs=1e-6)
    assert found.max_difference == pytest.approx(np.abs(moved).max(), abs=1e-6)


def test_a_candidate_that_answers_otherwise_is_worse_and_the_slice_is_named(recorded: Workspace) -> None:
    found = replay(recorded, Replay(model=f"cancer@{MISTAKEN}"))
    assert found.verdict == "worse" and 0.08 < 1 - found.comparison.agreement < 0.12
    assert any(name.startswith("mean radius >") for name in found.comparison.verdict.slices)


def test_rows_on_which_it_fails_are_found_one_by_one_and_count_against_it(recorded: Workspace) -> None:
    found = replay(recorded, Replay(model=f"cancer@{FAILING}"))
    column = recorded.lake.rows("cancer")["inputs"].struct.field("mean radius").to_numpy()
    assert found.comparison.shadow_errors == (column > np.quantile(column[:569], 0.97)).sum() > 50
    assert found.verdict == "worse" and "failed on" in found.comparison.verdict.reason


def test_labels_have_the_last_word_where_they_have_come(workspace: Workspace) -> None:
    manual = Workspace(workspace.home, actor="ann@laptop (test)", clock=ManualClock(), environment={})
    placed = add_version(manual, MISTAKEN, mistaken=15.0)
    go_live(manual, 1)
    rows = placed.rows
    answer(manual, rows)
    right = open_session((manual.folder("cancer", MISTAKEN) / "model.onnx").read_bytes()).run({"input": rows})["label"]
    labels(manual, Labels(model="cancer", frame={"request_id": [f"r{i}" for i in range(len(rows))], "label": right}))
    found = replay(manual, Replay(model=f"cancer@{MISTAKEN}"))
    verdict = found.comparison.verdict
    assert (found.verdict, verdict.labelled) == ("better", len(rows))
    assert verdict.accuracy_difference == pytest.approx((rows[:, 0] > 15.0).mean())


def test_a_key_counts_once(workspace: Workspace) -> None:
    manual = Workspace(workspace.home, actor="ann@laptop (test)", clock=ManualClock(), environment={})
    placed = add_version(manual, ALIKE)
    go_live(manual, 1)
    answer(manual, placed.rows, [f"user {index % 40}" for index in range(len(placed.rows))])
    found = replay(manual, Replay(model=f"cancer@{ALIKE}"))
    assert (found.comparison.pairs, found.window.rows, found.verdict) == (40, len(placed.rows), "undecided")
    assert found.comparison.verdict.pairs_needed > 100


def test_rows_with_masked_values_are_left_out_and_said(workspace: Workspace) -> None:
    manual = Workspace(workspace.home, actor="ann@laptop (test)", clock=ManualClock(), environment={})
    placed = add_version(manual, ALIKE)
    go_live(manual, 1)
    rows = placed.rows[:200].copy()
    answer(manual, rows)
    rows[:, 3] = np.nan
    writer = SpoolWriter(manual.home / "spool")
    block = Block(
        model="cancer", version=1, arm="live", sequence=writer.sequence, request_ids=["m"], request_rows=[200],
        received_at=[manual.clock.now().timestamp()], latency_ms=[1.0], run_ms=1.0, status=[200], keys=[""],
        inputs={"input": to_array(rows)},
        outputs={"label": to_array(np.ones(200, np.int64)), "probabilities": to_array(np.full((200, 2), 0.5, np.float32))},
    )  # fmt: skip
    writer.append(block)
    writer.close()
    Draining(manual).drain()
    clock(manual).advance(1)
    found = replay(manual, Replay(model=f"cancer@{ALIKE}"))
    assert (found.skipped, found.window.rows) == (200, 200)
    assert "200 rows lack a value that was masked or never sent" in str(found)


def test_a_pace_keeps_the_order_and_the_pauses(recorded: Workspace) -> None:
    found = replay(recorded, Replay(model=f"cancer@{ALIKE}", speed="20x"))
    assert found.comparison.pairs == ROWS and found.seconds >= 0.9 * (ROWS / 1e3) / 20


REFUSED: list[tuple[dict[str, Any], type[ProdmlError], str]] = [
    (
        {"model": "cancer@1"},
        InvalidInput,
        "version 1 of cancer is live, so its answers are there already; replay another version",
    ),
    ({"model": "other@2"}, NotFound, "there is no model 'other' here; known are 'cancer'"),
    ({"model": "cancer@2", "window": "soon"}, UsageError, "'soon' is not a duration"),
    (
        {"model": "cancer@2", "window": "1m"},
        NotFound,
        "has answered no request in the last 1m that could be replayed; look further",
    ),
    ({"model": "cancer@2", "speed": "fast"}, UsageError, "--speed 'fast' is no speed; write max"),
    ({"model": "cancer@2", "speed": "-1"}, UsageError, "--speed '-1' is no speed"),
]


@pytest.mark.parametrize(("fields", "error", "said"), REFUSED, ids=[said[:30] for *_, said in REFUSED])
def test_what_cannot_be_replayed_is_one_line(
    recorded: Workspace, fields: dict[str, Any], error: type[ProdmlError], said: str
) -> None:
    with pytest.raises(error) as caught:
        replay(recorded, Replay(**fields))
    assert said in str(caught.value) and "; " in str(caught.value) and str(caught.value).isprintable()


def test_a_version_with_other_columns_is_refused_with_the_column(workspace: Workspace) -> None:
    go_live(workspace, 1)
    path = workspace.folder("cancer", 3) / "contract.json"
    path.write_bytes(path.read_bytes().replace(b'"mean radius"', b'"radius"'))
    from prodml_magics.actions.replay import _refuse

    with pytest.raises(GateRefused, match="cannot be asked of version 3: column 'mean radius' is sent but not known"):
        _refuse("cancer", 1, 3, workspace.contract("cancer", 1), workspace.contract("cancer", 3))
