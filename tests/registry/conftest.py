from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from prodml_magics.registry.build import Candidate, build


class Cancer(NamedTuple):
    """The breast cancer data, 400 rows to train on and 169 to test on."""

    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="session")
def cancer() -> Cancer:
    rows, target = load_breast_cancer(return_X_y=True)
    return Cancer((rows[:400], target[:400]), (rows[400:], target[400:]))


@pytest.fixture(scope="session")
def model(cancer):
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(*cancer.train)


@pytest.fixture(scope="session")
def candidate(model, cancer, tmp_path_factory) -> Candidate:
    return build(
        model, train=cancer.train, test=cancer.test, cells=("password = 'hunter2'",), root=tmp_path_factory.mktemp("nogit")
    )
