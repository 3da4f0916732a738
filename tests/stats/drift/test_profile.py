from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from prodml_magics.errors import InvalidInput, Unsupported
from prodml_magics.stats.drift import Reference, detect, from_arrow, prepare, to_arrow
from prodml_magics.stats.drift.reference import LevelColumn, NumericColumn

FORMAT_3 = Path(__file__).parent / "data" / "profile-format-3.arrow"
FORMAT_2 = Path(__file__).parent / "data" / "profile-format-2.arrow"
FORMAT_1 = Path(__file__).parent / "data" / "profile-format-1.arrow"


def _columns() -> dict[str, Any]:
    rng = np.random.default_rng(11)
    price = np.round(rng.lognormal(3, 1, 300), 2)
    price[::10] = np.nan
    return {
        "price": price,
        "id": np.arange(300) + 2**60,
        "offset": 1e9 + rng.normal(size=300),
        "city": np.array(["Oslo", "Rome", "", None], dtype=object)[rng.integers(0, 4, 300)],
        "member": rng.random(300) < 0.3,
        "empty": np.full(300, np.nan),
    }


def _assert_same(one: Reference, other: Reference) -> None:
    assert one.names == other.names
    assert one.extras == other.extras
    for a, b in zip(one.columns.values(), other.columns.values(), strict=True):
        assert (a.rows, a.missing) == (b.rows, b.missing)
        if isinstance(a, NumericColumn) and isinstance(b, NumericColumn):
            assert (a.values.dtype, a.values.tolist(), a.edges.tolist()) == (b.values.dtype, b.values.tolist(), b.edges.tolist())
        else:
            assert isinstance(a, LevelColumn)
            assert isinstance(b, LevelColumn)
            assert (a.levels, a.counts.tolist(), a.other) == (b.levels, b.counts.tolist(), b.other)


def test_a_profile_comes_back_as_it_was() -> None:
    reference = prepare(_columns(), extras={"metrics": {"accuracy": 0.97}, "importance": {"price": 0.2}})
    again = from_arrow(to_arrow(reference))
    _assert_same(reference, again)
    assert detect(again, _columns()).drifted == []


def test_a_profile_of_no_columns_comes_back() -> None:
    assert from_arrow(to_arrow(Reference({}))).names == ()


def test_a_profile_written_in_format_1_is_still_read() -> None:
    _assert_same(from_arrow(FORMAT_1.read_bytes()), prepare(_columns(), extras={"metrics": {"accuracy": 0.5}}))


def test_a_profile_written_in_format_2_is_still_read() -> None:
    found = from_arrow(FORMAT_2.read_bytes())
    assert (found.names, found.extras) == (("price", "at", "city", "note"), {"metrics": {"accuracy": 0.5}})
    rng = np.random.default_rng(12)
    price, at = found.columns["price"], found.columns["at"]
    assert isinstance(price, NumericColumn)
    assert isinstance(at, NumericColumn)
    assert price.values.tolist() == np.sort(np.round(rng.lognormal(3, 1, 1_200), 2).astype(np.float32)).tolist()
    assert (at.unit, price.rank_error, price.calibration is not None) == ("date", 0.0, True)
    assert found.rows is not None
    assert found.rows.names == ("price", "at")
    assert found.joint == {}


def test_a_profile_written_in_format_3_is_still_read() -> None:
    found = from_arrow(FORMAT_3.read_bytes())
    assert (found.names, found.extras) == (("price", "at", "city"), {"metrics": {"accuracy": 0.5}})
    rng = np.random.default_rng(13)
    prices = np.sort(np.round(rng.lognormal(3, 1, 1_500), 2).astype(np.float32))
    price, at = found.columns["price"], found.columns["at"]
    assert isinstance(price, NumericColumn)
    assert isinstance(at, NumericColumn)
    assert (len(price.values), price.rank_error, price.present, price.calibration is not None) == (100, 0.01, 1_500, True)
    assert set(price.values.tolist()) <= set(prices.tolist())
    assert price.mean == pytest.approx(float(prices.mean(dtype="f8")))
    assert (at.unit, len(at.values)) == ("date", 75)
    assert found.rows is not None
    assert found.rows.names == ("price",)
    assert set(found.joint) == {"mmd", "energy_joint"}


def test_sketches_and_null_tables_come_back_as_they_were() -> None:
    rng = np.random.default_rng(13)
    reference = prepare({"a": rng.normal(size=3_000), "b": rng.normal(size=3_000)}, sample=500, tables=True)
    again = from_arrow(to_arrow(reference))
    for name, column in reference.columns.items():
        other = again.columns[name]
        assert isinstance(column, NumericColumn)
        assert isinstance(other, NumericColumn)
        assert (other.rank_error, other.mean, other.sd) == (column.rank_error, column.mean, column.sd)
        assert other.values.tolist() == column.values.tolist()
    assert again.joint.keys() == {"mmd", "energy_joint"}
    for name, known in reference.joint.items():
        assert again.joint[name].tolerance == known.tolerance
        assert again.joint[name].null.tolist() == known.null.tolist()
        assert len(known.null) == 999


def test_other_files_are_refused() -> None:
    with pytest.raises(InvalidInput, match="not a profile"):
        from_arrow(b"something else")
    with pytest.raises(InvalidInput, match="names no format"):
        from_arrow(_stored({}))


def test_a_later_format_asks_for_an_upgrade() -> None:
    with pytest.raises(Unsupported, match=r"profile format 9 .* upgrade"):
        from_arrow(_stored({"prodml.format": "9"}))


def _stored(metadata: dict[str, str]) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, pa.schema([pa.field("name", pa.string())], metadata=metadata)):
        pass
    return sink.getvalue().to_pybytes()
