"""Files beyond the memory bound: the same verdicts from sketches as from all rows, and what needs rows is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from homes import workspace_at
from scipy import stats
from scipy.signal import lfilter

from prodml_magics.actions.drift import drift
from prodml_magics.actions.results import DriftResult
from prodml_magics.actions.streamed import sampled_reference, scan
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import InvalidInput, UsageError
from prodml_magics.stats.drift import detect, prepare
from prodml_magics.stats.drift.limits import limits_of_values
from prodml_magics.wire.requests import Drift

TINY = 1e-4
"""A memory bound in GiB that every file here exceeds."""


def _frame(rows: int, seed: int, shift: float) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    gaps = rng.normal(size=rows)
    gaps[rng.random(rows) < 0.1 + shift / 2] = np.nan
    return pl.DataFrame(
        {
            "same": rng.normal(size=rows).astype("f4"),
            "moved": rng.normal(shift, 1, rows).astype("f4"),
            "tied": np.round(rng.normal(shift, 2, rows)),
            "gaps": gaps,
            "whole": rng.integers(0, 1_000, rows) + 2**60,
            "city": rng.choice(["Oslo", "Rome"] + (["Lima"] if shift else []), rows),
            "note": [f"text {i} {'x' * int(n)}" for i, n in enumerate(rng.integers(1, 9, rows))],
            "member": rng.random(rows) < 0.3,
            "hour": pl.Series(rng.integers(0, 86_400, rows) * 10**9).cast(pl.Time),
            "at": np.datetime64("2026-01-01T00:00:00", "us") + rng.integers(0, 10**12, rows),
            "empty": pl.Series([None] * rows, dtype=pl.Float64),
        }
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, str]:
    folder = tmp_path_factory.mktemp("files")
    paths = []
    for name, (rows, seed, shift) in {"before": (30_000, 0, 0.0), "now": (40_000, 1, 0.6), "same": (20_000, 2, 0.0)}.items():
        paths.append(str(folder / f"{name}.parquet"))
        _frame(rows, seed, shift).write_parquet(paths[-1], row_group_size=7_000)
    return paths[0], paths[1], paths[2]


@pytest.fixture
def nowhere(tmp_path: Path) -> Iterator[Workspace]:
    with workspace_at(tmp_path / ".prodml") as workspace:
        yield workspace


def _columns(result: DriftResult) -> dict[str, dict[str, object]]:
    return {row["column"]: row for row in result.record.columns}


def test_sketches_say_what_all_rows_say(files: tuple[str, str, str], nowhere: Workspace) -> None:
    whole = drift(nowhere, Drift(model=files[0], current=files[1]))
    streamed = drift(nowhere, Drift(model=files[0], current=files[1], memory=TINY))
    assert (whole.record.device, streamed.record.device) == ("cpu", "cpu, from sketches")
    assert streamed.record.window.rows == 40_000
    assert streamed.record.against == "a sample of 30,000 of 30,000 reference rows"
    assert (whole.record.note, streamed.record.note) == ("", "worst parts are looked for in rows that fit into --memory")
    assert set(streamed.record.drifted) == set(whole.record.drifted) == {"moved", "tied", "gaps", "city"}
    for name, row in _columns(streamed).items():
        exact = _columns(whole)[name]
        for statistic in ("kind", "n_reference", "n_current", "missing_reference", "missing_current", "tv", "chi2", "drifted"):
            assert row[statistic] == exact[statistic], (name, statistic)
        if exact["ks"] is not None:
            assert exact["ks"] - 0.02 <= row["ks"] <= exact["ks"] + 1e-9, name  # type: ignore[operator]
            assert row["psi"] == pytest.approx(exact["psi"], rel=1e-6, abs=1e-9)
            assert row["wasserstein"] == pytest.approx(exact["wasserstein"], rel=0.06, abs=0.02 * _spread(name))
    assert "median" in str(_columns(streamed)["moved"]["reason"])
    for name, detail in streamed.details.items():
        assert sum(detail["current"]) == pytest.approx(1 if name != "empty" else 0, abs=1e-6), name
    assert streamed._repr_html_().startswith("<div")


def _spread(name: str) -> float:
    return {"whole": 1_000.0, "at": 1e6, "note": 10.0, "hour": 1e5}.get(name, 1.0)


def test_without_a_change_nothing_has_drifted(files: tuple[str, str, str], nowhere: Workspace) -> None:
    found = drift(nowhere, Drift(model=files[0], current=files[2], memory=TINY, columns=("same", "city", "note")))
    assert found.record.verdict == "no drift"
    assert [row["column"] for row in found.record.columns] == ["same", "city", "note"]


@pytest.mark.parametrize(
    ("flags", "kind", "said"),
    [
        ({"method": ("psi",)}, UsageError, "--method needs the rows, and the files exceed --memory 0.0001"),
        ({"by": "city"}, UsageError, "--by needs the rows"),
        ({"device": "gpu"}, UsageError, "--device gpu needs the rows, and the files exceed --memory"),
        ({"columns": ("citty",)}, InvalidInput, "neither frame has a column 'citty'; did you mean 'city'"),
    ],
)
def test_what_needs_rows_is_refused_with_the_way_out(
    files: tuple[str, str, str], nowhere: Workspace, flags: dict[str, object], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        drift(nowhere, Drift(model=files[0], current=files[1], memory=TINY, **flags))  # type: ignore[arg-type]


def test_integers_of_128_bits_are_read_whole(tmp_path: Path, nowhere: Workspace) -> None:
    path = str(tmp_path / "wide.parquet")
    pl.DataFrame({"wide": pl.Series(range(5_000), dtype=pl.Int128)}).write_parquet(path)
    found = drift(nowhere, Drift(model=path, current=path, memory=TINY))
    assert (found.record.device, found.record.columns[0]["kind"], found.drifted) == ("cpu", "numeric", ())


def test_exact_reads_everything_whatever_the_bound(files: tuple[str, str, str], nowhere: Workspace) -> None:
    found = drift(nowhere, Drift(model=files[0], current=files[1], memory=TINY, exact=True, columns=("same",)))
    assert found.record.device == "cpu"


def test_columns_that_came_went_or_changed_their_kind_are_rows(tmp_path: Path, nowhere: Workspace) -> None:
    paths = [str(tmp_path / name) for name in ("before.parquet", "now.parquet")]
    before = _frame(20_000, 0, 0.0)
    before.write_parquet(paths[0], row_group_size=7_000)
    now = before.drop("moved").with_columns(new=pl.lit(None, pl.String), at=pl.col("at").dt.epoch("s"), tied=pl.lit("n/a"))
    now.write_parquet(paths[1], row_group_size=7_000)
    whole = drift(nowhere, Drift(model=paths[0], current=paths[1]))
    streamed = drift(nowhere, Drift(model=paths[0], current=paths[1], memory=TINY))
    assert streamed.record.device == "cpu, from sketches"
    told = {row["column"]: row["reason"] for row in streamed.record.columns if row["drifted"]}
    assert told == {
        "moved": "column vanished",
        "tied": "held numbers in the reference and holds text such as 'n/a' now",
        "at": "held dates in the reference and holds numbers now",
        "new": "new column",
    }
    assert set(whole.record.drifted) == set(streamed.record.drifted)
    assert _columns(streamed)["new"]["missing_current"] == 1.0
    alone = drift(nowhere, Drift(model=paths[0], current=paths[1], memory=TINY, columns=("new", "same")))
    assert [row["column"] for row in alone.record.columns] == ["same", "new"]


@pytest.mark.parametrize("memory", [1.0, TINY], ids=["rows", "sketches"])
def test_every_control_of_false_discoveries_is_reached_by_its_flag(memory: float, tmp_path: Path, nowhere: Workspace) -> None:
    rng = np.random.default_rng(5)
    paths = [str(tmp_path / f"{shift}.parquet") for shift in (0, 1)]
    for shift, path in enumerate(paths):
        pl.DataFrame({f"x{i}": rng.normal(0.04 * i * shift, 1, 4_000) for i in range(4)}).write_parquet(path)
    found = {}
    for fdr in ("bh", "by", "ebh"):
        columns = drift(nowhere, Drift(model=paths[0], current=paths[1], memory=memory, fdr=fdr)).record.columns  # type: ignore[arg-type]
        p_values, found[fdr] = ([row[name] for row in columns] for name in ("p_value", "p_adjusted"))
    for fdr in ("bh", "by"):
        assert found[fdr] == pytest.approx(stats.false_discovery_control(p_values, method=fdr))
    ordered = sorted(2 * np.sqrt(p) for p in p_values)
    stepped = [min(1.0, *(ordered[j] * 4 / (j + 1) for j in range(i, 4))) for i in range(4)]
    assert sorted(found["ebh"]) == pytest.approx(stepped)
    assert found["bh"] != found["by"] != found["ebh"]


def _autocorrelated(rng: np.random.Generator, rows: int) -> np.ndarray:
    return lfilter([1], [1, -0.9], rng.normal(size=rows + 500))[500:]


def test_of_a_file_it_is_found_how_much_neighbouring_rows_tell_of_each_other(tmp_path: Path) -> None:
    rng, rows, path = np.random.default_rng(6), 40_000, tmp_path / "before.parquet"
    note = [f"text {i} {'x' * (i % 7)}" for i in range(rows)]
    frame = pl.DataFrame(
        {
            "alike": _autocorrelated(rng, rows),
            "apart": rng.normal(size=rows),
            "ordered": np.sort(rng.normal(size=rows)),
            "side": np.where(_autocorrelated(rng, rows) > 0, "left", "right"),
            "note": note,
        }
    )
    frame.write_parquet(path, row_group_size=7_000)
    scanned = scan(path)
    assert scanned is not None
    # Few of the rows are drawn, so that hardly any two are neighbours, and they say nothing of correlation themselves.
    columns = sampled_reference(scanned, frame.columns, 8_000, TINY).columns
    whole = prepare({name: frame[name].to_numpy() for name in frame.columns}, calibrate="correlation").columns
    calibrations = {name: column.calibration for name, column in columns.items()}
    for name in ("alike", "side"):
        found, wanted = calibrations[name], whole[name].calibration
        assert found is not None
        assert wanted is not None
        assert 4 < found.values.inflation < 25
        assert 4 < wanted.values.inflation < 25
    assert calibrations["apart"] is not None
    assert calibrations["apart"].values.inflation == 1
    assert {limits_of_values(column, None, 0.05).tolerance for column in columns.values()} == {0.1}
    assert columns["note"].parts["length"].calibration is not None  # type: ignore[union-attr]


def test_grids_end_at_steps_where_the_reference_is_a_sample(tmp_path: Path) -> None:
    path = tmp_path / "before.parquet"
    pl.DataFrame({"x": np.random.default_rng(5).normal(size=20_000).astype("f4")}).write_parquet(path)
    scanned = scan(path)
    assert scanned is not None
    assert sampled_reference(scanned, ["x"], 20_000, TINY).columns["x"].steps is None  # type: ignore[union-attr]
    assert sampled_reference(scanned, ["x"], 19_000, TINY).columns["x"].steps is not None  # type: ignore[union-attr]


def test_correlated_rows_of_files_of_one_process_are_no_drift(tmp_path: Path, nowhere: Workspace) -> None:
    rng, names = np.random.default_rng(7), [f"x{i}" for i in range(8)]
    alarms = {"streamed": 0, "blind": 0}
    for i in range(6):
        sides = [pl.DataFrame({name: _autocorrelated(rng, rows) for name in names}) for rows in (20_000, 200)]
        paths = [tmp_path / f"{i}-{side}.parquet" for side in (0, 1)]
        for side, path in zip(sides, paths, strict=True):
            side.write_parquet(path)
        alarms["streamed"] += len(drift(nowhere, Drift(model=str(paths[0]), current=str(paths[1]), memory=TINY)).drifted)
        blind = prepare({name: sides[0][name].to_numpy() for name in names})
        alarms["blind"] += len(detect(blind, {name: sides[1][name].to_numpy() for name in names}).drifted)
    assert alarms["streamed"] <= 1
    assert alarms["blind"] > 4


def test_a_large_file_beside_one_without_rows_is_undecided(tmp_path: Path, nowhere: Workspace) -> None:
    frame = pl.DataFrame({"a": np.arange(5_000.0), "city": ["x", "y"] * 2_500, "v": np.ones((5_000, 3))})
    paths = [str(tmp_path / f"{name}.parquet") for name in ("whole", "none")]
    frame.write_parquet(paths[0])
    frame.head(0).write_parquet(paths[1])
    for before, now in (paths, paths[::-1]):
        found = drift(nowhere, Drift(model=before, current=now, memory=TINY))
        assert found.record.verdict == "undecided"
        assert "no rows" in found.record.columns[0]["reason"] and "no rows" in found.record.columns[1]["reason"]
