from __future__ import annotations

import numpy as np
import pytest

from prodml_magics.errors import GateRefused
from prodml_magics.registry.parity import measure, read_parity, write_parity
from prodml_magics.registry.probes import Probe

ROWS = {"input": np.zeros((3, 1), np.float32)}
PROBABILITIES = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
LABELS = np.array([0, 0, 1])
PROBE = Probe("test", ROWS, {"label": LABELS, "probabilities": PROBABILITIES})


def judge(labels, probabilities):
    return measure([PROBE], [{"label": labels, "probabilities": probabilities}], "FP32", (3,))


def test_equal_answers_pass_and_come_back_from_their_file():
    parity = judge(LABELS, PROBABILITIES.astype(np.float32))
    assert parity.passed
    assert parity.rows == 3
    assert read_parity(write_parity(parity)) == parity


def test_a_tie_may_fall_either_way_but_is_counted():
    parity = judge(np.array([0, 1, 1]), PROBABILITIES)
    assert parity.passed
    assert parity.ties == 1


def test_one_label_more_is_refused_and_named():
    parity = judge(np.array([0, 0, 0]), PROBABILITIES)
    assert not parity.passed
    assert parity.label_agreement == pytest.approx(2 / 3)
    assert (parity.worst[0].row, parity.worst[0].expected, parity.worst[0].given) == (2, "1", "0")


def test_a_probability_off_by_more_than_the_tolerance_is_refused():
    assert judge(LABELS, PROBABILITIES + 0.9e-5).passed
    assert not judge(LABELS, PROBABILITIES + 1.1e-5).passed


def test_missing_and_infinite_answers_are_never_equal_to_numbers():
    broken = PROBABILITIES.copy()
    broken[1, 1] = np.nan
    assert not judge(LABELS, broken).passed


def test_another_shape_is_refused():
    with pytest.raises(GateRefused, match="'probabilities' has shape"):
        judge(LABELS, PROBABILITIES[:, :1])


def test_predictions_are_compared_by_their_size_and_spread():
    expected = np.array([1e6, 2e6, 3e6])
    probe = Probe("test", ROWS, {"prediction": expected})
    assert measure([probe], [{"prediction": expected + 5}], "FP32", (3,)).passed
    assert not measure([probe], [{"prediction": expected + 50}], "FP32", (3,)).passed


def test_differences_are_told_by_kind_of_rows_and_by_parts_of_a_column():
    rows = np.arange(40, dtype=np.float32)[:, None]
    expected = np.full((40, 2), 0.5)
    off = expected.copy()
    off[35, 0] += 4e-6
    train = Probe("train", {"input": rows}, {"probabilities": expected})
    planted = Probe("threshold", {"input": rows}, {"probabilities": expected})
    parity = measure([train, planted], [{"probabilities": off}, {"probabilities": expected + 1e-6}], "FP32", (40,))
    assert parity.differences == {"train": pytest.approx(4e-6), "threshold": pytest.approx(1e-6)}
    part, difference = next(iter(parity.slices.items()))
    assert (part, difference) == ("input[0] from 29.25 to 39", pytest.approx(4e-6))
    assert read_parity(write_parity(parity)) == parity
