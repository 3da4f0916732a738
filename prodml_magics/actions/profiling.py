"""The profile of a registration, made by threads while the model is converted, proved and measured.

Columns of training rows rest on no model, so that they are summarised from when they are read; what rests on all columns, the
answers among them, waits for those. Nothing is written: a registration that is refused leaves no thread and no file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from prodml_magics.actions.profiles import SAMPLE
from prodml_magics.contract.schema import Contract

if TYPE_CHECKING:
    from prodml_magics.stats.drift.reference import Column, Reference

__all__ = ["Profiling"]

Columns = Mapping[str, np.ndarray]

_THREADS = min(2, os.cpu_count() or 1)
"""Sorting needs no interpreter, and conversion and proof seldom take more than one core."""


class Profiling:
    """Told of training rows and answers as they become known, see `registry.build.Observer`; then gives ``profile.arrow``.

    Of columns that `masked` names for a contract the profile tells little; it keeps every value where it is to be `exact`.
    Use it in a ``with`` block: at its end no thread is left.
    """

    def __init__(self, masked: Callable[[Contract], frozenset[str]] = lambda _: frozenset(), *, exact: bool = False) -> None:
        self._masked, self._exact = masked, exact
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="profile")
        self._rows: Columns = {}
        self._summaries: dict[str, Future[Column]] = {}
        self._made: Future[Reference] | None = None
        self._outputs: tuple[str, ...] = ()

    def __enter__(self) -> Profiling:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._threads.shutdown(cancel_futures=True)

    def rows(self, columns: Columns) -> None:
        """The training rows, by column; the latest ones count."""
        for known in self._summaries.values():
            known.cancel()
        self._rows = columns
        self._summaries = {name: self._submitted(name, values) for name, values in columns.items()}

    def answers(self, contract: Contract, columns: Columns) -> None:
        """What the version answers to those rows, by the names of `contract.encode.output_columns`."""
        masked = self._masked(contract)
        # Class labels are names, whatever their dtype; the lake keeps them as text as well.
        outputs = {name: values.astype(str) if name == "label" else values for name, values in columns.items()}
        self._outputs = tuple(outputs)
        if self._rows or outputs:
            known = {name: summary for name, summary in self._summaries.items() if name not in outputs}
            known |= {name: self._submitted(name, values) for name, values in outputs.items()}
            self._made = self._threads.submit(_prepared, {**self._rows, **outputs}, known, masked)

    def _submitted(self, name: str, values: np.ndarray) -> Future[Column]:
        return self._threads.submit(_summarised, name, values, max(1, len(values)) if self._exact else SAMPLE)

    def arrow(self, metrics: Mapping[str, float], importance: Mapping[str, float]) -> bytes | None:
        """``profile.arrow``, once it is made; None without rows and answers. Raises what summarising them raised."""
        from prodml_magics.stats.drift import to_arrow

        if self._made is None:
            return None
        extras = {"outputs": list(self._outputs), "metrics": dict(metrics), "importance": dict(importance)}
        return to_arrow(replace(self._made.result(), extras=extras))


def _summarised(name: str, values: np.ndarray, sample: int) -> Column:
    from prodml_magics.stats.drift.reference import summarised

    return summarised(name, values, sample=sample, calibrate=True)


def _prepared(columns: dict[str, Any], summaries: Mapping[str, Future[Column]], masked: frozenset[str]) -> Reference:
    """Whoever takes this up finds the summaries made, or being made: they were asked for before."""
    from prodml_magics.stats.drift import prepare

    known = {name: summary.result() for name, summary in summaries.items()}
    return prepare(columns, calibrate=True, tables=True, whole=True, masked=masked, known=known)
