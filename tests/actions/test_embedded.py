"""--embed: texts compared as the vectors that a person's function makes of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from homes import add_version, go_live, workspace_at
from versions import training_rows

from prodml_magics.actions.drift import drift
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import InvalidInput, NotFound, ProdmlError, UsageError
from prodml_magics.stats.drift import Reference, from_arrow, prepare, to_arrow
from prodml_magics.stats.drift.reference import TextColumn
from prodml_magics.storage.lake import LakeRows
from prodml_magics.wire.requests import Drift

NOTES = [f"note {i:04} about {'rain' if i % 2 else 'snow'}" for i in range(600)]
OTHER = [f"note {i:04} about {'sand' if i % 2 else 'dust'}" for i in range(600)]


def letters(texts: list[str]) -> np.ndarray:
    """How often each letter occurs, which the parts of a text do not tell."""
    return np.array([[text.count(letter) for letter in "adnorstuwi"] for text in texts])


@pytest.fixture
def nowhere(tmp_path: Path) -> Iterator[Workspace]:
    with workspace_at(tmp_path / ".prodml") as workspace:
        yield workspace


def test_a_function_sees_what_the_parts_of_a_text_do_not(nowhere: Workspace) -> None:
    before, now = pl.DataFrame({"note": NOTES, "n": range(600)}), pl.DataFrame({"note": OTHER, "n": range(600)})
    assert drift(nowhere, Drift(model=before, current=now)).drifted == ()
    found = drift(nowhere, Drift(model=before, current=now, embed=letters))
    assert found.drifted == ("note (embedded)",)
    assert [row["kind"] for row in found.record.columns] == ["text", "numeric", "embedding"]
    assert found.details["note (embedded)"]["note"].startswith("distance of the vectors")
    assert drift(nowhere, Drift(model=before, current=before, embed=letters, columns=("note",))).drifted == ()


def test_it_is_asked_for_at_most_two_thousand_present_texts_of_a_side(nowhere: Workspace) -> None:
    asked: list[int] = []

    def counting(texts: list[str]) -> np.ndarray:
        asked.append(len(texts))
        return letters(texts)

    many = [f"{i} {text}" for i in range(5) for text in NOTES]
    drift(nowhere, Drift(model={"note": many}, current={"note": [*NOTES, None]}, embed=counting))
    assert asked == [2_000, 600]


def test_a_function_is_found_by_its_name(nowhere: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_embedding.py").write_text(
        "import numpy as np\n\ndef by_marks(texts):\n    return np.array([[t.count('!'), t.count('1')] for t in texts])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = drift(nowhere, Drift(model={"a": NOTES}, current={"a": [f"{n}!!!" for n in NOTES]}, embed="my_embedding:by_marks"))
    assert "a (embedded)" in found.drifted
    sys.modules.pop("my_embedding")


def _fails(texts: list[str]) -> Any:
    raise RuntimeError("no model\nat hand")


@pytest.mark.parametrize(
    ("embed", "values", "kind", "said"),
    [
        (letters, list(range(300)), UsageError, "no column holds texts that hardly repeat"),
        (_fails, NOTES, InvalidInput, "failed on the texts of 'a': no model"),
        (len, NOTES, InvalidInput, "gave int64 [] for 600 texts; it has to return one vector of numbers per text"),
        ("nowhere:none", NOTES, NotFound, "there is no function nowhere:none"),
        ("json", NOTES, UsageError, "its name as MODULE:FUNCTION"),
        ("json:decoder", NOTES, UsageError, "json:decoder is no function"),
        (3, NOTES, UsageError, "takes a function of a list of texts"),
    ],
)
def test_what_is_no_embedding_is_one_line(
    nowhere: Workspace, embed: Any, values: Any, kind: type[ProdmlError], said: str
) -> None:
    with pytest.raises(kind) as caught:
        drift(nowhere, Drift(model={"a": values}, current={"a": values}, embed=embed))
    assert said in str(caught.value) and str(caught.value).isprintable()


def test_files_beyond_memory_are_compared_by_as_many_vectors_as_are_looked_at(nowhere: Workspace, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = [str(tmp_path / f"{name}.parquet") for name in ("before", "now", "other")]
    for place, path in enumerate(paths):
        vectors = rng.normal(0.5 * place, 1, size=(5_000, 4 if place < 2 else 3))
        pl.DataFrame({"e": vectors, "x": rng.normal(size=5_000)}).write_parquet(path)
    found = drift(nowhere, Drift(model=paths[0], current=paths[1], memory=1e-4))
    assert [(row["column"], row["drifted"]) for row in found.record.columns] == [("e", True), ("x", False)]
    assert found.record.columns[0]["reason"].endswith("by 2,000 of 5,000 rows of the reference and 2,000 of 5,000 now")
    assert (found.record.columns[0]["n_current"], found.record.columns[0]["calibrated"]) == (5_000, False)
    assert "sketches of all 5,000 rows; no tolerance calibrated" in str(found)
    assert drift(nowhere, Drift(model=paths[0], current=paths[0], memory=1e-4)).drifted == ()
    other = drift(nowhere, Drift(model=paths[0], current=paths[2], memory=1e-4))
    assert other.record.columns[0]["reason"] == "held vectors of 4 numbers in the reference and of 3 now"
    with pytest.raises(UsageError, match="--embed needs the rows"):
        drift(nowhere, Drift(model=paths[0], current=paths[1], memory=1e-4, embed=letters))


@pytest.fixture
def noted(workspace: Workspace) -> Workspace:
    """cancer@4 live, with the profile of rows that have a text as well, and served rows of an hour that are about something else."""
    add_version(workspace, 4, profile=False)
    go_live(workspace, 4)
    names = [column.name for column in workspace.contract("cancer", 4).columns]
    rows = pl.DataFrame(training_rows(), schema=names)
    before = rows.sample(3_000, with_replacement=True, seed=0).with_columns(
        note=pl.Series([f"{note} {i}" for i in range(5) for note in NOTES])
    )
    profile = workspace.home / "profiles" / "cancer" / "4.arrow"
    profile.parent.mkdir(parents=True)
    profile.write_bytes(to_arrow(prepare(before, calibrate=True)))
    now = rows.sample(600, with_replacement=True, seed=1).with_columns(
        note=pl.Series([f"{note} {i % 5}" for i, note in enumerate(OTHER)])
    )
    served = [datetime.now(UTC) - timedelta(minutes=30) + timedelta(seconds=i) for i in range(600)]
    table = pa.table(
        {
            "date": [at.date().isoformat() for at in served],
            "writer": ["w"] * 600,
            "sequence": np.arange(600),
            "request_id": [str(i) for i in range(600)],
            "received_at": pa.array(served, pa.timestamp("us", tz="UTC")),
            "arm": ["live"] * 600,
            "version": pa.array([4] * 600, pa.int32()),
            "status": pa.array([200] * 600, pa.int32()),
            "inputs": pa.StructArray.from_arrays([now[name].to_arrow() for name in now.columns], names=now.columns),
        }
    )
    workspace.lake.append("cancer", [LakeRows("w", table, 600)])
    return workspace


def test_served_texts_are_embedded_against_those_that_the_profile_keeps(noted: Workspace) -> None:
    assert "note" not in drift(noted, Drift(model="cancer", window="1h")).drifted
    found = drift(noted, Drift(model="cancer", window="1h", embed=letters, columns=("note",)))
    (own, embedded) = found.record.columns
    assert (own["drifted"], embedded["column"], embedded["drifted"]) == (False, "note (embedded)", True)
    assert (embedded["n_reference"], embedded["n_current"]) == (2_000, 600)
    assert embedded["calibrated"] is True
    assert found.record.against == "version 4's training rows"
    profile = noted.home / "profiles" / "cancer" / "4.arrow"
    kept = from_arrow(profile.read_bytes())
    bare = {
        name: column._replace(texts=()) if isinstance(column, TextColumn) else column for name, column in kept.columns.items()
    }
    profile.write_bytes(to_arrow(Reference(bare, kept.extras, kept.rows, kept.joint)))
    with pytest.raises(
        UsageError, match="the profile keeps none: it is of an earlier release, or they are masked; add --against"
    ):
        drift(noted, Drift(model="cancer", window="1h", embed=letters))
