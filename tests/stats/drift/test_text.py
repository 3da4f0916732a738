"""Texts that hardly repeat are described by numbers, and judged by the description that moved most."""

from __future__ import annotations

import numpy as np
import pytest

from prodml_magics.stats.drift import column_detail, detect, from_arrow, prepare, to_arrow
from prodml_magics.stats.drift.reference import LevelColumn, TextColumn, kept_texts
from prodml_magics.stats.drift.text import PARTS, text_parts

WORDS = np.array(["alpha", "beta", "gamma", "delta", "Été", "42"])


def _texts(rng: np.random.Generator, rows: int, words: int) -> np.ndarray:
    return np.array([" ".join(rng.choice(WORDS, words + rng.integers(0, 5))) for _ in range(rows)], dtype=object)


def test_parts_are_what_a_loop_counts() -> None:
    texts = ["", "Ab 1!", "ÉÉ  €9", "日本\n"]
    parts = text_parts(texts)
    assert tuple(parts) == PARTS
    slow = {
        "length": len,
        "digits": lambda text: sum(c.isdigit() for c in text) / max(1, len(text)),
        "capitals": lambda text: sum(c.isupper() for c in text) / max(1, len(text)),
        "spaces": lambda text: sum(c.isspace() for c in text) / max(1, len(text)),
        "marks": lambda text: sum(c in "!€" for c in text) / max(1, len(text)),
        "beyond ASCII": lambda text: sum(ord(c) > 127 for c in text) / max(1, len(text)),
    }
    for name, count in slow.items():
        assert parts[name].tolist() == pytest.approx([count(text) for text in texts]), name


def test_texts_that_never_repeat_are_no_drift_until_they_change() -> None:
    rng = np.random.default_rng(0)
    reference = from_arrow(to_arrow(prepare({"a": _texts(rng, 1_000, 12)})))
    assert isinstance(reference.columns["a"], TextColumn)
    same = detect(reference, {"a": _texts(rng, 800, 12)})
    assert (same.kind, same.drifted, same.undecided) == (("text",), [], [])
    longer = detect(reference, {"a": _texts(rng, 800, 16)})
    assert longer.drifted == ["a"]
    assert longer.reason[0].startswith("length of the texts: KS distance ")
    shouting = detect(reference, {"a": np.array([text.upper() for text in _texts(rng, 800, 12)], dtype=object)})
    assert shouting.reason[0].startswith("capitals of the texts: KS distance 1.00")


def test_missing_texts_decide_alone_and_a_window_without_texts_is_no_crash() -> None:
    rng = np.random.default_rng(1)
    reference = prepare({"a": _texts(rng, 500, 8)})
    now = _texts(rng, 400, 8)
    now[:200] = None
    assert detect(reference, {"a": now}).reason[0].startswith("missing share rose from 0 % to 50 %")
    assert detect(reference, {"a": np.array([None] * 50)}).drifted == ["a"]
    assert detect(reference, {"a": np.array([], dtype=object)}).undecided == ["a"]


def test_names_that_repeat_stay_categories() -> None:
    rng = np.random.default_rng(2)
    assert isinstance(prepare({"a": rng.choice([f"city {i}" for i in range(200)], 1_000)}).columns["a"], LevelColumn)


def test_the_detail_of_a_text_is_its_length() -> None:
    rng = np.random.default_rng(3)
    detail = column_detail(prepare({"a": _texts(rng, 500, 8)}), _texts(rng, 100, 8), "a")
    assert detail.note.startswith("length of the texts in characters")
    assert sum(detail.current) == pytest.approx(1)


def test_texts_are_calibrated_part_by_part_and_keep_some_of_themselves_in_the_profile() -> None:
    rng = np.random.default_rng(8)
    growing = np.array([f"text {i} " + "x" * int(i / 100 + n) for i, n in enumerate(rng.integers(0, 20, 3_000))], dtype=object)
    growing[2_000:2_400] = None
    reference = prepare({"a": growing, "secret": growing}, calibrate=True, masked=["secret"])
    again = from_arrow(to_arrow(reference))
    for name in ("a", "secret"):
        one, other = reference.columns[name], again.columns[name]
        assert isinstance(one, TextColumn)
        assert isinstance(other, TextColumn)
        assert one.texts == other.texts
        assert [part.calibration for part in one.parts.values()] == [part.calibration for part in other.parts.values()]
        assert (one.calibration, len(one.texts)) == (other.calibration, 2_000 if name == "a" else 0)
        assert one.calibration is not None and one.calibration.missing.movement > 0.05
    assert set(reference.columns["a"].texts) <= set(growing)  # type: ignore[union-attr]
    last = growing[-500:]
    assert detect(prepare({"a": growing}), {"a": last}).drifted == ["a"]
    found = detect(again, {"a": last}, columns=["a"])
    assert (found.calibrated[0], found.tolerance[0] > 0.2, found.reason[0].startswith("length of the texts")) == (
        True,
        True,
        True,
    )
    assert len("".join(kept_texts(["x" * 10_000] * 2_000))) <= 1_000_000
