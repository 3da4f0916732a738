"""PyTorch modules answer as ONNX for any number of rows; where torch is not installed nothing of this is tested."""

from __future__ import annotations

import numpy as np
import pytest

from prodml_magics.errors import Unsupported
from prodml_magics.registry.build import build

torch = pytest.importorskip("torch", reason="torch is not installed: the conversion of PyTorch models is not tested")
pytest.importorskip("onnxscript", reason="onnxscript is not installed: the conversion of PyTorch models is not tested")

RNG = np.random.default_rng(0)


class Encoder(torch.nn.Module):
    """The one that comes out for a single row when it is traced with a single row."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(50, 16)
        self.layers = torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 1)
        self.head = torch.nn.Linear(16, 3)

    def forward(self, tokens):
        return self.head(self.layers(self.embedding(tokens)).mean(1))


def layers(*parts):
    torch.manual_seed(0)
    return torch.nn.Sequential(*parts)


def test_a_network_of_a_table_has_named_columns_and_leaves_the_users_own_alone():
    nn = torch.nn
    model = layers(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 3))
    rows, target = RNG.normal(size=(60, 4)), RNG.integers(0, 3, 60)
    candidate = build(model, train=(rows, target), test=(rows, target))
    assert model.training
    model.eval()
    with torch.no_grad():
        expected = model(torch.from_numpy(rows).float()).argmax(1).numpy()
    assert candidate.metrics["accuracy"] == np.mean(expected == target)
    assert candidate.contract.classes == (0, 1, 2)
    assert len(candidate.contract.columns) == 4
    assert candidate.parity.batches == (1, 2, 3, 60)
    assert b"test_pytorch" not in candidate.model


def test_images_and_tokens_keep_their_shapes():
    nn = torch.nn
    model = layers(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 1))
    candidate = build(model, train=(RNG.normal(size=(40, 1, 8, 8)), RNG.normal(size=40)))
    assert (candidate.contract.task, candidate.contract.inputs[0].shape) == ("regression", (-1, 1, 8, 8))
    torch.manual_seed(0)
    candidate = build(Encoder(), train=(RNG.integers(0, 50, (40, 6)), RNG.integers(0, 3, 40)))
    assert (candidate.contract.inputs[0].datatype, candidate.contract.inputs[0].shape) == ("INT64", (-1, 6))
    assert candidate.parity.max_abs_difference < 1e-5


class Branching(torch.nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


def test_a_module_that_looks_at_values_is_refused_by_name():
    with pytest.raises(Unsupported, match=r"\Atorch cannot export Branching: [^\n]*\Z"):
        build(Branching(), train=(np.ones((5, 3)),))
