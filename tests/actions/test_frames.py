"""Frames of any kind, and files, as named columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from prodml_magics.actions.drift import drift
from prodml_magics.actions.frames import as_columns, read_frame
from prodml_magics.actions.register import features_and_target
from prodml_magics.actions.workspace import Workspace
from prodml_magics.clock import SystemClock
from prodml_magics.errors import InvalidInput, NotFound, ProdmlError, UsageError
from prodml_magics.wire.requests import Drift

TABLE = np.arange(6.0).reshape(3, 2)


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame(TABLE, schema=["x0", "x1"]),
        pl.LazyFrame(TABLE, schema=["x0", "x1"]),
        pd.DataFrame(TABLE, columns=["x0", "x1"]),
        {"x0": TABLE[:, 0], "x1": TABLE[:, 1].tolist()},
        TABLE,
    ],
    ids=lambda frame: type(frame).__module__ + "." + type(frame).__name__,
)
def test_every_kind_of_frame_has_the_same_columns(frame: Any) -> None:
    columns = as_columns(frame, "frame")
    assert list(columns) == ["x0", "x1"]
    np.testing.assert_array_equal(np.column_stack(list(columns.values())), TABLE)


def test_files_are_read_by_their_ending(tmp_path: Path) -> None:
    frame = pl.DataFrame(TABLE, schema=["x0", "x1"])
    frame.write_csv(tmp_path / "a.csv")
    frame.write_parquet(tmp_path / "a.PARQUET")
    frame.write_ipc(tmp_path / "a.arrow")
    for path in tmp_path.iterdir():
        assert read_frame(path).equals(frame), path
        assert list(as_columns(str(path), "frame")) == ["x0", "x1"]


def test_what_cannot_be_read_is_one_line_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"no parquet\nat all")
    (tmp_path / "bad.csv").write_text('a,b\n1,2\n"x')
    (tmp_path / "folder.parquet").mkdir()
    for name, kind in (
        ("bad.parquet", InvalidInput),
        ("bad.csv", InvalidInput),
        ("folder.parquet", NotFound),
        ("no.csv", NotFound),
        ("a.txt", InvalidInput),
    ):
        with pytest.raises(kind) as caught:
            read_frame(tmp_path / name)
        assert "; " in str(caught.value) and str(caught.value).isprintable()


@pytest.mark.parametrize(
    "frame",
    [3, [1, 2], TABLE[:, 0], pl.Series([1]), pd.DataFrame(TABLE, columns=["a", "a"])],
    ids=lambda each: type(each).__name__,
)
def test_what_is_no_frame_of_named_columns_is_refused(frame: Any) -> None:
    with pytest.raises(InvalidInput, match="the reference frame "):
        as_columns(frame, "reference frame")


def test_a_target_is_an_array_a_column_or_a_file(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1, 2], "y": ["p", "q"]})
    frame.write_csv(tmp_path / "all.csv")
    frame.select("y").write_csv(tmp_path / "y.csv")
    for values in (
        (frame, "y"),
        (str(tmp_path / "all.csv"), "y"),
        (frame.select("a"), tmp_path / "y.csv"),
        (frame.to_pandas(), "y"),
    ):
        features, target = features_and_target(values) or ()
        assert (list(features.columns), list(target)) == (["a"], ["p", "q"])
    assert features_and_target(()) is None
    assert len(features_and_target((frame,)) or ()) == 1
    with pytest.raises(InvalidInput, match="there is no column 'z' for the target; known are 'a', 'y'"):
        features_and_target((frame, "z"))
    with pytest.raises(InvalidInput, match=r"all.csv has 2 columns; give a file with the target alone, or name its column"):
        features_and_target((frame, str(tmp_path / "all.csv")))


def nowhere(folder: Path) -> Workspace:
    return Workspace(folder / ".prodml", actor="ann", clock=SystemClock(), environment={})


def test_two_frames_are_compared_without_a_home(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    before = pl.DataFrame({"steady": rng.normal(size=3000), "moved": rng.normal(size=3000), "word": ["a", "b", "c"] * 1000})
    after = before.with_columns(moved=pl.col("moved") * 3, word=pl.lit("a")).to_pandas()
    result = drift(nowhere(tmp_path), Drift(model=before, current=after, device="cpu"))
    assert (set(result.drifted), result.verdict, result.model, result.window.rows) == ({"moved", "word"}, "drift", None, 3000)
    assert result.frame["column"].to_list() == before.columns
    assert result.frame.schema["calibrated"] == pl.Boolean
    assert list(tmp_path.iterdir()) == []


def test_two_bare_frames_have_the_tolerances_that_are_written_down(tmp_path: Path) -> None:
    """0.1, 0.1, 0.05, and 0.1 for unseen categories: on either side of each, with rows enough to tell."""
    rows = 60_000
    steps = np.arange(rows) / rows
    for moved, drifted in ((0.02, False), (0.16, True)):
        before = pl.DataFrame(
            {"number": steps, "level": np.where(steps < 0.5, "a", "b"), "gap": steps, "unseen": ["a", "b"] * (rows // 2)}
        )
        now = pl.DataFrame(
            {
                "number": np.where(steps < moved, 2.0, steps),
                "level": np.where(steps < 0.5 - moved, "a", "b"),
                "gap": np.where(steps < moved / 2, np.nan, steps),
                "unseen": np.where(steps < moved, "new", np.array(["a", "b"] * (rows // 2))),
            }
        ).with_columns(pl.col("gap").fill_nan(None))
        found = drift(nowhere(tmp_path), Drift(model=before.sample(rows, shuffle=True, seed=0), current=now))
        assert [row["drifted"] for row in found.record.columns] == [drifted] * 4
        assert [row["tolerance"] for row in found.record.columns] == [0.1, 0.1, 0.1 if moved < 0.1 else 0.05, 0.1]
        assert not any(row["calibrated"] for row in found.record.columns)
    told = {row["column"]: row["reason"] for row in found.record.columns}
    assert told["gap"] == "missing share rose from 0 % to 8 %, above the tolerance of 0.05"
    assert told["unseen"].endswith("16 % of the rows have unseen categories, above the tolerance of 0.1")


def test_frames_of_other_columns_are_compared_in_those_of_both(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    before = pl.DataFrame(
        {
            "gone": ["x"] * 600,
            "kept": rng.normal(size=600),
            "city": ["a", "b"] * 300,
            "age": rng.normal(size=600),
            "s": [{"k": 1}] * 600,
        }
    )
    after = before.drop("gone").with_columns(new=pl.lit(1.5), age=pl.lit("old"), kept=pl.col("kept") + 1, city=pl.lit("a"))
    result = drift(nowhere(tmp_path), Drift(model=before, current=after))
    assert {
        row["column"]: (row["drifted"], row["effect"] is None, row["reason"].split(";")[0]) for row in result.record.columns
    } == {
        "gone": (True, True, "column vanished"),
        "kept": (True, False, result.record.columns[1]["reason"].split(";")[0]),
        "city": (True, False, result.record.columns[2]["reason"].split(";")[0]),
        "age": (True, True, "held numbers in the reference and holds text such as 'old' now"),
        "s": (None, True, "holds structs or complex numbers, which have no order"),
        "new": (True, True, "new column"),
    }
    assert set(result.details) == {"kept", "city"}
    assert "`gone`: column vanished. `age`: held numbers in the reference" in result.record.summary
    assert [row[0] for row in result.table()[1][:3]] == ["gone", "age", "new"]
    for shown in (str(result), result._repr_html_()):
        assert "column vanished" in shown
        assert "new column" in shown
    sliced = drift(nowhere(tmp_path), Drift(model=before, current=after, by="city"))
    assert [(part["slice"], part["drifted"]) for part in sliced.record.slices] == [("city = a", ["kept"])]
    assert "city = a: 600 rows; 1 column drifted, most kept" in str(sliced)
    alone = drift(nowhere(tmp_path), Drift(model=before, current=after, columns=("gone", "new")))
    assert [row["column"] for row in alone.record.columns] == ["gone", "new"]
    on_one_side = drift(nowhere(tmp_path), Drift(model=before, current=after.with_columns(s=pl.lit(1.0)), columns=("s", "kept")))
    assert on_one_side.record.columns[-1]["reason"].startswith("held structs or complex numbers")


@pytest.mark.parametrize(
    ("request_", "kind", "said"),
    [
        (Drift(model=TABLE), UsageError, "give the frame to compare with as well"),
        (Drift(model=TABLE, current=TABLE, last=3), UsageError, "two frames are compared whole"),
        (
            Drift(model=pl.DataFrame({"a": [1.0]}), current=pl.DataFrame({"b": [1.0]})),
            InvalidInput,
            "no column is on both sides: the reference has 'a'; now has 'b'; rename the columns of one of them",
        ),
        (Drift(model=TABLE, current=TABLE, against="7d"), UsageError, "--against chooses what a served model is compared with"),
        (Drift(model=TABLE, current=TABLE, method=("wasertein",)), InvalidInput, "unknown method 'wasertein'; did you mean"),
        (
            Drift(model=TABLE, current=TABLE, by="x9"),
            NotFound,
            "there is no column 'x9' to look at the parts of; known are 'x0', 'x1'",
        ),
        (Drift(model=TABLE, current=TABLE, columns=("zz",)), InvalidInput, "neither frame has a column 'zz'"),
        (
            Drift(model={"a": [1.0], "b": [1.0, 2.0]}, current={"a": [1.0], "b": [1.0]}),
            InvalidInput,
            "give columns of one length",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_frames_that_cannot_be_compared_are_one_line(tmp_path: Path, request_: Drift, kind: type[ProdmlError], said: str) -> None:
    with pytest.raises(kind) as caught:
        drift(nowhere(tmp_path), request_)
    assert said in str(caught.value) and str(caught.value).isprintable()


def test_it_is_said_when_no_column_is_of_the_kind_that_a_method_is_for(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": np.arange(50.0)})
    found = drift(nowhere(tmp_path), Drift(model=frame, current=frame, method=("chi2", "tv", "psi")))
    assert found.record.note == "no column is of the kind that chi2 and tv are for; other statistics decided"
    assert found.record.note in str(found)
    assert drift(nowhere(tmp_path), Drift(model=frame, current=frame, method=("psi",))).record.note == ""


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"a": [None] * 400}, {"a": [None] * 400}, "every value of the reference is missing, nothing to compare"),
        ({"a": [1.0]}, {"a": [1.0] * 400}, "the reference's 1 row is too few to tell; 20 are needed"),
        ({"a": [1.0] * 400}, {"a": [1.0]}, "1 row is too few to tell"),
        ({"a": [1.0], "b": [None]}, {"a": [1.0] * 30, "b": [1.0] * 30}, "nothing can be told of any of 2 columns"),
    ],
)
def test_the_head_does_not_blame_rows_that_are_enough(
    tmp_path: Path, before: dict[str, list[float]], now: dict[str, list[float]], said: str
) -> None:
    assert drift(nowhere(tmp_path), Drift(model=before, current=now)).title == f"undecided: {said}"


def test_the_head_says_how_many_columns_are_undecided(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": np.arange(50.0), "b": [None] * 49 + [1.0]})
    found = drift(nowhere(tmp_path), Drift(model=frame, current=frame))
    assert found.title == "none of 2 columns has drifted; 1 undecided"
    assert [row[1] for row in found.table()[1]] == ["not drifted", "undecided"]
