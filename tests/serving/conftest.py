"""A version on disk for tests of the gateway."""

from __future__ import annotations

from pathlib import Path

import pytest
from versions import Placed, place


@pytest.fixture
def placed(tmp_path: Path) -> Placed:
    """``cancer@1`` in a temporary home."""
    return place(tmp_path, "cancer", 1)
