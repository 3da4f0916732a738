"""--embed: texts of both sides as vectors, by a function that the person gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from prodml_magics.errors import InvalidInput, NotFound, UsageError, first_line

if TYPE_CHECKING:
    from prodml_magics.stats.drift import Reference

__all__ = ["with_embeddings"]

Columns = dict[str, np.ndarray]
Embed = Callable[[list[str]], Any]


def with_embeddings(
    reference: Reference,
    rows: Mapping[str, np.ndarray] | None,
    current: Columns,
    embed: Any,
    *,
    calibrate: bool | Literal["correlation"],
) -> tuple[Reference, Columns]:
    """Both sides with a column of vectors beside each column of texts, made from at most 2,000 texts of either side.

    `rows` are those behind the reference, or None for the texts that its profile keeps. `embed` turns a list of texts into an array
    [texts, numbers], or names a function that does, as ``module:function``. With `calibrate` the vectors' tolerance is what the
    reference moves by itself, as for other columns.
    """
    from prodml_magics.stats.drift import prepare
    from prodml_magics.stats.drift.reference import TextColumn

    function = _function(embed)
    texts = {name: column for name, column in reference.columns.items() if isinstance(column, TextColumn) and name in current}
    if not texts:
        raise UsageError("--embed turns texts into vectors, and no column holds texts that hardly repeat; leave it out")
    if rows is None:
        rows = {name: np.array(column.texts, dtype=object) for name, column in texts.items() if column.texts}
    names = [name for name in texts if name in rows]
    if not names:
        raise UsageError(
            "--embed needs texts of both sides, and the profile keeps none: it is of an earlier release, or they are masked; "
            "add --against previous, or a stretch"
        )
    before = {f"{name} (embedded)": _vectors(function, _neighbours(rows[name]), name) for name in names}
    now = {f"{name} (embedded)": _vectors(function, _drawn(current[name]), name) for name in names}
    embedded = [prepare({name: vectors}, calibrate=calibrate).columns for name, vectors in before.items()]
    columns = dict(reference.columns)
    for each in embedded:
        columns |= each
    return replace(reference, columns=columns), {**current, **now}


def _function(embed: Any) -> Embed:
    if callable(embed):
        found: Embed = embed
        return found
    module, colon, name = str(embed).partition(":")
    if not isinstance(embed, str) or not colon:
        raise UsageError("--embed takes a function of a list of texts, or its name as MODULE:FUNCTION")
    try:
        named = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise NotFound(f"there is no function {embed} for --embed ({first_line(error)}); check the name") from error
    if not callable(named):
        raise UsageError(f"{embed} is no function; --embed takes one of a list of texts")
    function: Embed = named
    return function


def _neighbours(values: np.ndarray) -> list[str]:
    """At most 2,000 of the present texts, in runs of neighbours, which tell how alike those are."""
    from prodml_magics.stats.drift.columns import as_texts
    from prodml_magics.stats.drift.joint.movement import runs

    texts = as_texts(values)
    return [texts[place] for place in runs(len(texts))]


def _drawn(values: np.ndarray) -> list[str]:
    """At most 2,000 of the present texts, in their order."""
    from prodml_magics.stats.drift.columns import as_texts
    from prodml_magics.stats.drift.joint.rows import MOST_ROWS

    texts = as_texts(values)
    if len(texts) <= MOST_ROWS:
        return texts
    chosen = np.sort(np.random.default_rng(1).choice(len(texts), MOST_ROWS, replace=False))
    return [texts[place] for place in chosen]


def _vectors(function: Embed, texts: list[str], name: str) -> np.ndarray:
    """float32 [texts, numbers]."""
    if not texts:
        return np.zeros((0, 1), np.float32)
    try:
        found = np.asarray(function(texts))
    except Exception as error:  # whatever a person's function may raise
        raise InvalidInput(f"the function of --embed failed on the texts of {name!r}: {first_line(error)}") from error
    if found.ndim != 2 or len(found) != len(texts) or found.dtype.kind not in "iuf":
        raise InvalidInput(
            f"the function of --embed gave {found.dtype} {list(found.shape)} for {len(texts)} texts; "
            "it has to return one vector of numbers per text"
        )
    return found.astype(np.float32)
