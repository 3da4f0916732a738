"""A served model's rows against its profile, earlier rows or another version; two frames in every way; refusals."""

from __future__ import annotations

import dataclasses
import re
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
from prodml_magics.actions.slices import search_slices
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import InvalidInput, NotFound, ProdmlError, UsageError
from prodml_magics.stats.drift import from_arrow, prepare, to_arrow
from prodml_magics.stats.drift.joint import JOINT
from prodml_magics.stats.drift.reference import NumericColumn
from prodml_magics.storage.lake import LakeRows
from prodml_magics.wire.requests import Drift

HOURS = 6
PER_HOUR = 300


@pytest.fixture
def served(workspace: Workspace) -> Workspace:
    """cancer@1 live, six hours of rows drawn from its training rows; in the last hour the first column is ten times larger."""
    go_live(workspace, 1)
    profile = from_arrow((workspace.home / workspace.files("cancer", 1).folder / "profile.arrow").read_bytes())
    rng = np.random.default_rng(0)
    count = HOURS * PER_HOUR
    columns = {
        name: rng.choice(column.values, count).astype(float)
        for name, column in profile.columns.items()
        if isinstance(column, NumericColumn)
    }
    first = next(iter(columns))
    columns[first][-PER_HOUR:] *= 10
    start = datetime.now(UTC) - timedelta(hours=HOURS)
    received = [start + timedelta(hours=HOURS * (i + 0.5) / count) for i in range(count)]
    table = pa.table(
        {
            "date": [at.date().isoformat() for at in received],
            "writer": ["w"] * count,
            "sequence": list(range(count)),
            "request_id": [str(i) for i in range(count)],
            "received_at": pa.array(received, pa.timestamp("us", tz="UTC")),
            "arm": ["live"] * count,
            "version": pa.array([1] * count, pa.int32()),
            "status": pa.array([200] * count, pa.int32()),
            "inputs": pa.StructArray.from_arrays([pa.array(values) for values in columns.values()], names=list(columns)),
            "outputs": pa.StructArray.from_arrays([pa.array(rng.choice(["0", "1"], count))], names=["label"]),
        }
    )
    workspace.lake.append("cancer", [LakeRows("w", table, count)])
    return workspace


def _first(workspace: Workspace) -> str:
    return workspace.contract("cancer", 1).columns[0].name


def test_a_window_is_compared_with_the_profile_with_earlier_rows_and_with_another_version(served: Workspace) -> None:
    first = _first(served)
    of_profile = drift(served, Drift(model="cancer", window="1h"))
    assert first in of_profile.record.drifted
    assert of_profile.record.against == "version 1's training rows"
    said = r"moved by \d+\.\d sd; looks like a unit change ×10"
    assert re.search(f"`{first}` {said}", of_profile.record.summary)
    assert re.search(f"`{first}` {said}", str(of_profile))
    assert re.search(f"<code>{first}</code> {said}", of_profile._repr_html_())
    for against in ("previous", "2h", "cancer@2", "cancer@live"):
        found = drift(served, Drift(model="cancer", window="1h", against=against))
        assert first in found.record.drifted, against
    assert "cancer@1's training rows" in str(found)
    earlier = drift(served, Drift(model="cancer", last=PER_HOUR, against="previous"))
    assert set(earlier.record.drifted) == {first}
    assert earlier.record.against.startswith(f"{PER_HOUR} rows, ")
    assert earlier.record.outputs == ("label",)
    since, until = (f"{datetime.now(UTC) - timedelta(hours=h):%Y-%m-%dT%H:%M:%S}" for h in (5, 3))
    stretch = drift(served, Drift(model="cancer", window="1h", against=f"{since}/{until}"))
    assert set(stretch.record.drifted) == {first}
    assert drift(served, Drift(model="cancer", since=since, until=until, against="previous")).record.drifted == ()


def test_the_moment_at_which_a_column_began_to_move_is_told(served: Workspace) -> None:
    found = drift(served, Drift(model="cancer", window="2h", against="cancer@1"))
    (onset,) = (each for each in found.record.onsets if each.column == _first(served))
    truth = datetime.now(UTC) - timedelta(hours=1)
    assert onset.earliest - timedelta(seconds=30) <= truth <= onset.latest + timedelta(seconds=30)
    assert onset.latest - onset.earliest < timedelta(minutes=30)
    assert f"{_first(served)} moved at about " in str(found)
    assert drift(served, Drift(model="cancer", window="50m")).record.onsets == ()


def test_a_window_can_be_looked_at_part_by_part(served: Workspace) -> None:
    second = served.contract("cancer", 1).columns[1].name
    found = drift(served, Drift(model="cancer", window="1h", against="previous", by=second))
    assert [part["verdict"] for part in found.record.slices] == ["drift"] * 4
    assert sum(part["n_current"] for part in found.record.slices) == found.record.window.rows
    assert {part["worst"] for part in found.record.slices} == {_first(served)}
    assert second in str(found)


def test_parts_are_compared_with_the_rows_that_a_profile_keeps(served: Workspace) -> None:
    second = served.contract("cancer", 1).columns[1].name
    found = drift(served, Drift(model="cancer", window="1h", by=second))
    assert [part["verdict"] for part in found.record.slices] == ["drift"] * 4
    assert sum(part["n_current"] for part in found.record.slices) == found.record.window.rows
    profile = from_arrow((served.home / served.files("cancer", 1).folder / "profile.arrow").read_bytes())
    assert sum(part["n_reference"] for part in found.record.slices) == len(profile.whole[second])
    with pytest.raises(NotFound, match="there is no column 'nope' to look at the parts of"):
        drift(served, Drift(model="cancer", window="1h", by="nope"))


def test_a_profile_of_an_earlier_release_has_no_rows_to_compare_parts_with(served: Workspace) -> None:
    own = from_arrow((served.home / served.files("cancer", 1).folder / "profile.arrow").read_bytes())
    add_version(served, 4, profile=False)
    path = served.home / "profiles" / "cancer" / "4.arrow"
    path.parent.mkdir(parents=True)
    path.write_bytes(to_arrow(dataclasses.replace(own, whole={})))
    with pytest.raises(
        UsageError, match="of an earlier release, keeps none of all columns; register the model again, or add --against"
    ):
        drift(served, Drift(model="cancer", window="1h", by=_first(served), against="cancer@4"))


@pytest.mark.parametrize(
    ("request_", "kind", "said"),
    [
        (Drift(model="cancer", against="previous"), UsageError, "give --window, --last or --since"),
        (Drift(model="cancer", against="yesterday"), UsageError, "'yesterday' is none of reference, previous"),
        (Drift(model="cancer", against="yesterday", since="2020-01-01", until="2020-01-02"), UsageError, "is none of reference"),
        (Drift(model="cancer", against="nobody@1"), ProdmlError, "nobody"),
        (Drift(model="cancer", window="1h", against="2026-02-01/2026-01-01"), UsageError, "swap them"),
        (Drift(model="cancer", window="1h", against="2020-01-01/2020-01-02"), NotFound, "no rows before that to compare with"),
        (Drift(model="cancer", by="x"), NotFound, "there is no column 'x' to look at the parts of"),
        (Drift(model="cancer", window="1h", against="previous", by="nope"), NotFound, "there is no column 'nope'"),
        (Drift(model="cancer", method=("kss",)), InvalidInput, "did you mean 'ks'"),
        (Drift(model="cancer", columns=("mean radios",)), InvalidInput, "did you mean"),
        (Drift(model="cancer", since="2020-01-01", until="2020-01-02"), NotFound, "no rows in this window"),
        (Drift(model="cancer", since="2020-01-02", until="2020-01-01"), UsageError, "the window is empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_compared_is_one_line_with_the_next_step(
    served: Workspace, request_: Drift, kind: type[ProdmlError], said: str
) -> None:
    with pytest.raises(kind) as caught:
        drift(served, request_)
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_the_worst_part_is_found_against_the_rows_that_a_profile_keeps(served: Workspace) -> None:
    """Rows of the training set itself, whose fourth column is ten times larger where its third is large."""
    profile = from_arrow((served.home / served.files("cancer", 1).folder / "profile.arrow").read_bytes())
    assert profile.rows is not None
    names = profile.rows.names
    now = {
        name: profile.rows.values[:, place] * profile.columns[name].sd + profile.columns[name].mean
        for place, name in enumerate(names)
    }  # type: ignore[union-attr]
    rng = np.random.default_rng(7)
    rows = rng.integers(0, len(profile.rows.values), 2_000)
    now = {name: values[rows] for name, values in now.items()}
    third, moved = names[2], names[10]
    large = now[third] > np.quantile(now[third], 0.75)
    now[moved] = np.where(large, now[moved] * 10, now[moved])
    found = search_slices(profile, None, now, Drift(model="cancer"))
    assert found[0]["worst"] == moved
    assert found[0]["effect"] > 0.5 > found[0]["overall"]


def test_served_columns_that_the_profile_has_not_and_those_it_alone_has_are_rows(served: Workspace) -> None:
    """Against the profile of a version of other columns."""
    add_version(served, 4, profile=False)
    names = [column.name for column in served.contract("cancer", 4).columns]
    rows = pl.DataFrame(training_rows(), schema=names).with_columns(pl.lit("x").alias(names[2]))
    path = served.home / "profiles" / "cancer" / "4.arrow"
    path.parent.mkdir(parents=True)
    path.write_bytes(to_arrow(prepare(rows.drop(names[1]).with_columns(gone=pl.lit(1.0)), calibrate=True)))
    found = drift(served, Drift(model="cancer", window="1h", against="cancer@4"))
    told = {row["column"]: row["reason"] for row in found.record.columns}
    assert (told[names[1]], told["gone"]) == ("new column", "column vanished")
    assert {names[1], "gone", names[0]} <= set(found.record.drifted)
    assert {onset.column for onset in found.record.onsets} <= set(found.details)
    assert "label" not in told


def test_a_version_without_a_profile_can_still_be_compared_with_its_earlier_rows(served: Workspace) -> None:
    add_version(served, 4, profile=False)
    go_live(served, 4)
    with pytest.raises(InvalidInput, match=r"has no profile: .* or compare with earlier rows: --against previous"):
        drift(served, Drift(model="cancer", window="1h"))
    assert drift(served, Drift(model="cancer", window="1h", against="previous")).record.verdict == "drift"


def test_a_profile_is_built_from_training_rows_where_a_version_has_none(served: Workspace) -> None:
    add_version(served, 4, profile=False)
    go_live(served, 4)
    with pytest.raises(InvalidInput, match="build one with --train ROWS"):
        drift(served, Drift(model="cancer"))
    names = [column.name for column in served.contract("cancer", 4).columns]
    rows = pl.DataFrame(training_rows(), schema=names)
    for given, kind, said in (
        (rows.drop(names[2]), InvalidInput, f"the rows of --train have no column {names[2]!r}; did you mean "),
        (rows.head(0), InvalidInput, "there are no rows in --train"),
        (3, InvalidInput, "the frame of --train is int"),
    ):
        with pytest.raises(kind, match=re.escape(said)):
            drift(served, Drift(model="cancer", train=given))
    built = drift(served, Drift(model="cancer", window="1h", train=rows.with_columns(more=pl.lit("x"))))
    assert _first(served) in built.record.drifted
    assert (built.record.against, built.record.outputs) == ("version 4's training rows", ())
    assert drift(served, Drift(model="cancer", window="1h")).record.drifted == built.record.drifted
    with pytest.raises(UsageError, match="cancer@4 has a profile already; leave out --train"):
        drift(served, Drift(model="cancer", train=rows))
    with pytest.raises(UsageError, match="two frames need none"):
        drift(served, Drift(model=rows, current=rows, train=rows))


# ── two frames ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _frame(rng: np.random.Generator, rows: int, shift: float = 0.0) -> pl.DataFrame:
    city = rng.choice(["Oslo", "Rome", "Lima"], rows)
    return pl.DataFrame(
        {
            "age": rng.normal(40, 9, rows) + np.where(city == "Rome", shift, 0.0),
            "city": city,
            "note": [f"text {i} of {'x' * int(n)}" for i, n in enumerate(rng.integers(1, 9, rows))],
            "member": rng.random(rows) < 0.3,
            "at": np.datetime64("2026-01-01T00:00:00", "us") + rng.integers(0, 10**12, rows),
        }
    )


@pytest.fixture
def nowhere(tmp_path: Path) -> Any:
    with workspace_at(tmp_path / ".prodml") as workspace:
        yield workspace
    assert not (tmp_path / ".prodml").exists()


def test_two_frames_of_every_kind_of_column_need_no_model_and_no_home(nowhere: Workspace) -> None:
    rng = np.random.default_rng(1)
    found = drift(nowhere, Drift(model=_frame(rng, 2_000), current=_frame(rng, 1_500)))
    assert (found.record.verdict, found.record.against) == ("no drift", "the reference frame")
    kinds = {row["column"]: row["kind"] for row in found.record.columns}
    assert kinds == {"age": "numeric", "city": "categorical", "note": "text", "member": "categorical", "at": "numeric"}
    assert found._repr_html_().startswith("<div")
    for shown in (str(found), found._repr_html_()):  # as the widget says; the frame keeps the names of the record
        assert "adjusted p" in shown and "PSI" in shown and "p_adjusted" not in shown
    assert found.frame.height == 5 and {"p_adjusted", "psi"} < set(found.frame.columns)


def test_the_worst_part_of_two_frames_is_found(nowhere: Workspace) -> None:
    rng = np.random.default_rng(2)
    found = drift(nowhere, Drift(model=_frame(rng, 3_000), current=_frame(rng, 3_000, shift=9.0), by="city", columns=("age",)))
    worst, *others = found.record.slices
    assert (worst["slice"], worst["verdict"], worst["drifted"]) == ("city = Rome", "drift", ["age"])
    assert [part["verdict"] for part in others] == ["no drift", "no drift"]


def test_the_worst_part_is_found_without_being_named(nowhere: Workspace) -> None:
    rng = np.random.default_rng(2)
    found = drift(nowhere, Drift(model=_frame(rng, 3_000), current=_frame(rng, 3_000, shift=9.0)))
    (worst,) = found.record.slices
    assert (worst["slice"], worst["drifted"]) == ("city = Rome", ["age"])
    told = f"city = Rome: {worst['n_current']:,} rows, where age moved more: KS distance {worst['effect']:.2f} there, "
    assert told in str(found)
    assert "city = Rome" in found._repr_html_()
    assert found.to_dict()["slices"][0]["overall"] == pytest.approx(worst["overall"])
    assert drift(nowhere, Drift(model=_frame(rng, 3_000), current=_frame(rng, 3_000))).record.slices == []


def test_methods_are_columns_of_the_frame_and_joint_ones_are_told_beside_it(nowhere: Workspace) -> None:
    rng = np.random.default_rng(3)
    request = Drift(model=_frame(rng, 900), current=_frame(rng, 800), method=("wasserstein_iqr", "hellinger", "g", *JOINT))
    found = drift(nowhere, request)
    assert {"wasserstein_iqr", "hellinger", "g"} <= set(found.frame.columns)
    assert [finding["method"] for finding in found.record.joint] == list(JOINT)
    assert all(f"  {name}: " in str(found) for name in JOINT)
    assert found.to_dict()["joint"][0]["method"] == "mmd"


def test_a_tolerance_of_ones_own_and_every_value_of_the_reference(nowhere: Workspace) -> None:
    rng = np.random.default_rng(4)
    before, now = {"a": rng.normal(size=130_000)}, {"a": rng.normal(0.2, 1, 50_000)}
    assert drift(nowhere, Drift(model=before, current=now)).record.drifted == ()
    found = drift(nowhere, Drift(model=before, current=now, tolerance=0.05, exact=True))
    assert found.record.drifted == ("a",)
    assert found.record.columns[0]["tolerance"] == 0.05
    from scipy import stats

    assert found.record.columns[0]["ks"] == pytest.approx(
        stats.ks_2samp(before["a"].astype("f4"), now["a"].astype("f4")).statistic, abs=1e-12
    )


def test_frames_without_rows_are_undecided_and_say_so(nowhere: Workspace) -> None:
    frame = _frame(np.random.default_rng(5), 50)
    for before, now in ((frame, frame.head(0)), (frame.head(0), frame), (frame.head(0), frame.head(0))):
        found = drift(nowhere, Drift(model=before, current=now))
        assert found.record.verdict == "undecided"
        assert all("no rows" in row["reason"] for row in found.record.columns)
        assert found.title == f"undecided: {'0 rows are too few to tell' if now.is_empty() else 'the reference has no rows'}"
