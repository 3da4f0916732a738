from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from prodml_magics.stats.drift import Detection, column_detail, detect, prepare


@pytest.fixture(scope="session")
def columns() -> tuple[dict[str, Any], dict[str, Any]]:
    """Reference and now; radius has changed its unit, city has new levels, weight is missing more often."""
    rng = np.random.default_rng(0)
    before = {f"x{i:02}": rng.normal(size=600) for i in range(24)}
    now = {f"x{i:02}": rng.normal(size=400) for i in range(24)}
    before |= {"radius": rng.normal(14, 3, 600), "city": rng.choice(["Oslo", "Rome"], 600), "weight": rng.normal(size=600)}
    now |= {"radius": rng.normal(140, 30, 400), "city": rng.choice(["Oslo", "<script>alert(1)</script>"], 400)}
    now["weight"] = np.where(rng.random(400) < 0.4, np.nan, rng.normal(size=400))
    return before, now


@pytest.fixture(scope="session")
def detection(columns: tuple[dict[str, Any], dict[str, Any]]) -> Detection:
    return detect(prepare(columns[0]), columns[1])


@pytest.fixture(scope="session")
def rows(detection: Detection) -> list[dict[str, Any]]:
    return detection.frame.to_dicts()


@pytest.fixture(scope="session")
def details(columns: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, dict[str, Any]]:
    before, now = columns
    reference = prepare(before)
    return {name: column_detail(reference, now[name], name).to_dict() for name in ("radius", "city", "weight", "x00")}
