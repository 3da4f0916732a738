"""Variants of a version measured beside it: time, size, and where they answer otherwise."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.contract.encode import tensor_columns
from prodml_magics.contract.schema import Contract
from prodml_magics.errors import GateRefused, Unsupported
from prodml_magics.inference.gate import check_model
from prodml_magics.inference.session import open_session
from prodml_magics.inference.smoke import smoke_run
from prodml_magics.inference.variants import CALIBRATION_ROWS, VariantName, has_layers, make_variant
from prodml_magics.registry.probes import sample_rows
from prodml_magics.stats.percent import percent
from prodml_magics.wire.results import PartScore, VariantRecord

__all__ = ["BATCHES", "Variant", "choose", "measured_variants"]

BATCHES = (1, 32, 128)
_REPEATS = 30
_NEAR = 0.1
_SLICE_ROWS = 30
_PARTS = 3
_GAIN = 0.95
"""A variant is worth its difference when it takes at most this share of the time, or of the bytes."""

Tensors = Mapping[str, np.ndarray]


class Variant(NamedTuple):
    """The file of a variant, empty where there is none, and what was measured."""

    model: bytes
    record: VariantRecord


def measured_variants(
    model: bytes,
    contract: Contract,
    tensors: Tensors,
    target: NDArray | None,
    names: Iterable[VariantName],
    max_drop: float,
    calibration: Tensors | None = None,
) -> list[Variant]:
    """The version itself, then its variants; one that drops more than `max_drop` is measured and not kept.

    The drop is that of accuracy where `target` is given, else the share of labels that changed; of numbers it is the change of the
    root mean square error relative to their spread, or the mean difference. `calibration` are rows that show the ranges of
    activations, those that it is judged by unless given. Raises `Unsupported` for a model without layers, and for fewer than 256 rows.
    """
    count = len(next(iter(tensors.values())))
    if not has_layers(model):
        raise Unsupported(
            "the model has no layers (MatMul, Gemm, Conv) that other precisions would speed up: trees take no INT8, and FP16 moves their "
            "probabilities; deploy it as it is"
        )
    if count < CALIBRATION_ROWS:
        raise Unsupported(f"{count} rows are too few to calibrate and judge by; give at least {CALIBRATION_ROWS} with --test")
    original = open_session(model, device="cpu").run(tensors)
    judge = _Judge(contract, tensors, original, target)
    found = [_measured("original", model, judge, max_drop)]
    for name in names:
        try:
            made = make_variant(name, model, sample_rows(calibration or tensors, 2 * CALIBRATION_ROWS))
            check_model(made, trusted_exporter=True)
            smoke_run(made, [sample_rows(tensors, 2)])
            found.append(_measured(name, made, judge, max_drop))
        except GateRefused as error:
            found.append(Variant(b"", VariantRecord(name=name, reason=str(error))))
    return found


def choose(variants: Sequence[Variant]) -> str | None:
    """The kept variant that is fastest at 32 rows, if it is faster or smaller than the original by 5 % or more; else none."""
    original, *others = (variant.record for variant in variants)
    worth = [
        each
        for each in others
        if each.kept
        and (
            each.microseconds["32"] <= _GAIN * original.microseconds["32"]
            or (each.size_bytes <= _GAIN * original.size_bytes and each.microseconds["32"] <= original.microseconds["32"] / _GAIN)
        )
    ]
    return min(worth, key=lambda each: (each.microseconds["32"], each.size_bytes)).name if worth else None


def _measured(name: str, model: bytes, judge: _Judge, max_drop: float) -> Variant:
    session = open_session(model, device="cpu")
    outputs = session.run(judge.tensors)
    drop = judge.drop(outputs)
    kept = name != "original" and drop <= max_drop
    record = VariantRecord(
        name=name,
        size_bytes=len(model),
        microseconds={str(rows): _best(session, judge.tensors, rows) for rows in BATCHES},
        score=judge.score(outputs),
        drop=drop,
        changed=judge.changed(outputs),
        changed_near=judge.changed_near(outputs),
        worst_slice=judge.worst_slice(outputs),
        score_near=judge.score_near(outputs),
        parts=judge.parts(outputs),
        largest_difference=judge.largest(outputs),
        kept=kept,
        reason="" if kept or name == "original" else f"drops {percent(drop, 2)}, more than {percent(max_drop, 2)}",
    )
    return Variant(model, record)


def _best(session: object, tensors: Tensors, rows: int) -> float:
    """Microseconds of one run, the best of 30."""
    places = np.arange(rows) % len(next(iter(tensors.values())))
    feeds = {name: np.ascontiguousarray(values[places]) for name, values in tensors.items()}
    taken = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        session.run(feeds)  # type: ignore[attr-defined]
        taken.append(time.perf_counter() - began)
    return min(taken) * 1e6


class _Judge:
    """How a variant's answers stand to those of the version, and to the truth where it is known."""

    def __init__(self, contract: Contract, tensors: Tensors, original: Tensors, target: NDArray | None) -> None:
        self.tensors = tensors
        self._contract, self._original, self._target = contract, original, target
        self._labels = "label" in original
        self._main = "probabilities" if "probabilities" in original else next(name for name in original if name != "label")

    def drop(self, outputs: Tensors) -> float:
        ours, theirs = self.score(self._original), self.score(outputs)
        if self._labels:
            return self.changed(outputs) if ours is None or theirs is None else max(0.0, ours - theirs)
        spread = float(self._original[self._main].std()) or 1.0
        if ours is None or theirs is None:
            return float(np.abs(outputs[self._main] - self._original[self._main]).mean()) / spread
        return max(0.0, theirs - ours) / spread

    def score(self, outputs: Tensors) -> float | None:
        """Accuracy, or the root mean square error; none without the truth."""
        each = self._each(outputs)
        return None if each is None else self._mean(each)

    def _each(self, outputs: Tensors) -> NDArray[np.float64] | None:
        """Of every row whether its label is right, or its squared error; none without the truth."""
        if self._target is None:
            return None
        if self._labels:
            pairs = zip(outputs["label"].tolist(), self._target.tolist(), strict=True)
            return np.array([str(given) == str(wanted) for given, wanted in pairs], np.float64)
        squares = (outputs[self._main].astype(np.float64) - self._target) ** 2
        return np.asarray(squares.reshape(len(squares), -1).mean(axis=1), np.float64)

    def _mean(self, each: NDArray[np.float64]) -> float:
        return float(each.mean() if self._labels else np.sqrt(each.mean()))

    def score_near(self, outputs: Tensors) -> float | None:
        """The score of rows whose two best probabilities lie within 0.1; none without such rows, or without the truth."""
        each, near = self._each(outputs), self._near()
        return None if each is None or near is None else self._mean(each[near])

    def parts(self, outputs: Tensors) -> tuple[PartScore, ...]:
        """The three parts of the rows whose score loses most; empty without the truth, and where none loses."""
        before, after = self._each(self._original), self._each(outputs)
        if before is None or after is None:
            return ()
        found = [
            PartScore(part=part, rows=int(inside.sum()), original=self._mean(before[inside]), score=self._mean(after[inside]))
            for part, inside in self._all_parts()
        ]
        worse = [each for each in found if (each.score < each.original if self._labels else each.score > each.original)]
        return tuple(sorted(worse, key=lambda each: -abs(each.score - each.original))[:_PARTS])

    def changed(self, outputs: Tensors) -> float:
        """Share of labels that changed; of a model without labels, of numbers that moved by more than 1 % of their spread."""
        return float(self._moved(outputs).mean())

    def changed_near(self, outputs: Tensors) -> float | None:
        """The same of rows whose two best probabilities lie within 0.1; none without such rows."""
        near = self._near()
        return None if near is None else float(self._moved(outputs)[near].mean())

    def _near(self) -> NDArray[np.bool_] | None:
        if self._main != "probabilities":
            return None
        ordered = np.sort(self._original["probabilities"], axis=1)
        near = ordered[:, -1] - ordered[:, -2] < _NEAR
        return np.asarray(near, np.bool_) if near.any() else None

    def worst_slice(self, outputs: Tensors) -> str:
        """The part of the rows in which most changed; empty where nothing did."""
        moved, worst, said = self._moved(outputs), 0.0, ""
        for part, inside in self._all_parts():
            share = float(moved[inside].mean())
            if share > worst:
                worst, said = share, f"{part}: {percent(share)}"
        return said

    def _all_parts(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Quarters of numeric columns, and the rows of each class, where they hold 30 rows."""
        for part, inside in (*self._quarters(), *self._classes()):
            if inside.sum() >= _SLICE_ROWS:
                yield part, inside

    def _classes(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        if self._labels and self._target is not None:
            for label in np.unique(self._target).tolist():
                yield f"label {label}", np.asarray(self._target == label, np.bool_)

    def _quarters(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        for tensor in self._contract.inputs if self._contract.columns else ():
            for place, column in enumerate(tensor_columns(self._contract, tensor)):
                if column.kind != "numeric":
                    continue
                values = self.tensors[tensor.name][:, place]
                edges = np.nanquantile(values, [0, 0.25, 0.5, 0.75, 1])
                for low, high in pairwise(edges):
                    yield f"{column.name} {low:.4g} to {high:.4g}", (values >= low) & (values <= high)

    def largest(self, outputs: Tensors) -> float:
        wanted = self._original[self._main].astype(np.float64)
        return float(np.abs(outputs[self._main].astype(np.float64) - wanted).max())

    def _moved(self, outputs: Tensors) -> NDArray[np.bool_]:
        if self._labels:
            return np.asarray(outputs["label"] != self._original["label"], np.bool_)
        wanted = self._original[self._main].astype(np.float64)
        moved = np.abs(outputs[self._main].astype(np.float64) - wanted) > 0.01 * (float(wanted.std()) or 1.0)
        return np.asarray(moved.reshape(len(moved), -1).any(axis=1), np.bool_)
