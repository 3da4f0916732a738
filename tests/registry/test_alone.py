"""What the tables of models are worth: skl2onnx alone converts a part of them wrongly, without an error."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from registry.cases import CASES as OF_SKLEARN
from registry.cases_libraries import CASES as OF_LIBRARIES

CASES = [*OF_SKLEARN, *OF_LIBRARIES]
_FEWEST = 120


@pytest.fixture(scope="module")
def alone() -> dict[str, str]:
    """What became of each row, by its name."""
    script = Path(__file__).with_name("alone.py")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_every_combination_is_counted_beside_skl2onnx_alone(
    alone: dict[str, str], record_property: Callable[[str, object], None]
) -> None:
    """That each of ours is what the table says is the law of `test_exact_or_refused`."""
    exact = sum(case.outcome in ("FP32", "FP64") for case in CASES)
    counts = Counter(alone[case.name] for case in CASES)
    others = ", ".join(f"{counts[outcome]} {outcome}" for outcome in ("exact", "refused", "fails", "wrong"))
    record_property(
        "counted",
        f"{len(CASES)} estimators and options: {exact} exact, {len(CASES) - exact} refused, 0 wrong; "
        f"skl2onnx {version('skl2onnx')} alone: {others}",
    )
    assert alone.keys() == {case.name for case in CASES}
    assert len(CASES) >= _FEWEST
    assert exact > counts["exact"]


@pytest.mark.parametrize("case", [case for case in OF_SKLEARN if case.silent], ids=lambda case: case.name)
def test_what_is_marked_as_silent_is_not_what_skl2onnx_can_be_trusted_with(alone: dict[str, str], case) -> None:
    """Three of them are right on the rows of this table alone."""
    right_here = {"TunedThreshold", "OneVsRest of LinearSVC", "GaussianProcessRegressor"}
    expected = {"exact"} if case.name in right_here else {"wrong", "fails"}
    assert alone[case.name] in expected
