"""--embed: texts compared as the vectors that a person's function makes of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from homes import workspace_at

from prodml_magics.actions.drift import drift
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import InvalidInput, NotFound, ProdmlError, UsageError
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


def test_files_beyond_memory_leave_vectors_out_and_say_so(nowhere: Workspace, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = [str(tmp_path / f"{name}.parquet") for name in ("before", "now")]
    for path in paths:
        pl.DataFrame({"e": rng.normal(size=(5_000, 4)), "x": rng.normal(size=5_000)}).write_parquet(path)
    found = drift(nowhere, Drift(model=paths[0], current=paths[1], memory=1e-4))
    assert [row["column"] for row in found.record.columns] == ["x"]
    assert "vectors are not compared from sketches ('e' left out)" in found.record.note
    assert len(drift(nowhere, Drift(model=paths[0], current=paths[1])).record.columns) == 2
    with pytest.raises(UsageError, match="--embed needs the rows"):
        drift(nowhere, Drift(model=paths[0], current=paths[1], memory=1e-4, embed=letters))
