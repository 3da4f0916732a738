"""A model whose encoders of text are replaced by tables, so that its graph takes the numbers of levels in place of text.

Nothing is read out of an encoder but the levels that it tells apart: what it makes of each of them, of a missing one and of an
unseen one is asked of the fitted transformer, imputers in front of it and scalers behind it included.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from prodml_magics.contract.schema import CodeTable, Contract
from prodml_magics.registry.probes import UNSEEN
from prodml_magics.registry.reference import Reference
from prodml_magics.registry.roles import is_fitted, nested
from prodml_magics.registry.swapped import swap

if TYPE_CHECKING:
    from prodml_magics.registry.tabulated import Tabulated

__all__ = ["Coded", "with_codes"]

_ENCODERS = frozenset({"OneHotEncoder", "OrdinalEncoder", "TargetEncoder"})
_OF_TEXT = _ENCODERS | {"SimpleImputer", "MissingIndicator"}
_COLUMN_BY_COLUMN = frozenset(
    {
        "Binarizer",
        "KBinsDiscretizer",
        "MaxAbsScaler",
        "MinMaxScaler",
        "PowerTransformer",
        "QuantileTransformer",
        "RobustScaler",
        "SelectFromModel",
        "SelectKBest",
        "SelectPercentile",
        "SimpleImputer",
        "StandardScaler",
        "VarianceThreshold",
    }
)
"""What may stand behind an encoder: it makes each of its columns of one column, or leaves it out."""
_MOST_CELLS = 20_000_000
"""Levels times outputs that are asked of one transformer; beyond that its text stays text."""
_DENSE_CELLS = 65_536
"""A table up to this is looked up row by row, which copies memory; one of more is compared with, as one-hot columns can be."""
_BLOCK, _BLOCK_CELLS = 512, 1_000_000
"""Rows that are asked at once: the first, and then as many as make so many numbers, since encoders look through all of their levels
at every call.
"""
_DRAWN = 64


class Coded(NamedTuple):
    """A model with tables in the place of encoders, and the numbers that the tables are made for, by categorical column."""

    model: Any
    codes: tuple[CodeTable, ...]


class _NotTabular(Exception):
    """Some text is used otherwise than by an encoder that looks at each column for itself."""


def with_codes(reference: Reference, contract: Contract, tensors: Mapping[str, np.ndarray]) -> Coded | None:
    """`reference.model` as one that takes numbers of levels; None where some text does not go into encoders alone.

    `tensors` are wire tensors of a training row, in which levels are planted.
    """
    if not contract.categorical:
        return None
    try:
        asker = _Asker(reference, contract, tensors, _texts_of(reference.model, contract))
        asker.coded()  # of which only the texts are kept: an encoder tells no levels of other columns apart
        return _Asker(reference, contract, tensors, asker.known_texts()).coded()
    except _NotTabular:
        return None


class _Asker:
    """Asks transformers of one model for what they make of levels."""

    def __init__(
        self, reference: Reference, contract: Contract, tensors: Mapping[str, np.ndarray], texts: list[list[str]]
    ) -> None:
        """`texts` are what is asked of each categorical column: levels, then a missing value ("") and an unseen one where taken."""
        self._reference, self._contract, self._texts = reference, contract, texts
        self._base = {name: values[:1] for name, values in tensors.items()}
        self._names = [column.name for column in contract.columns]
        self._text = [place for place, column in enumerate(contract.columns) if column.kind == "categorical"]
        self._refused: list[set[str]] = [set() for _ in texts]
        """By categorical column, the texts that some transformer refuses."""
        self._told_apart: list[set[str]] = [set() for _ in texts]
        """Texts that some transformer answers otherwise than an unseen one."""

    def coded(self) -> Coded:
        """The rewritten copy of the model, with its tables."""
        shared = {id(part): part for part in nested(self._reference.model) if _is_leaf(part)}
        model = self._rewritten(copy.deepcopy(self._reference.model, shared), list(range(len(self._names))))
        if not any(type(part).__name__ == "Tabulated" for part in nested(model)):
            raise _NotTabular
        return Coded(model, tuple(self._table(place) for place in range(len(self._text))))

    def known_texts(self) -> list[list[str]]:
        """Of each categorical column the texts that the model takes, and of levels those that it tells apart or training rows had."""
        kept = []
        for column, texts, told, refused in zip(
            self._contract.categorical, self._texts, self._told_apart, self._refused, strict=True
        ):
            wanted = {*column.categories, UNSEEN} | told | ({column.null} if column.nullable else set())
            kept.append([text for text in texts if text in wanted and text not in refused])
        return kept

    def _table(self, place: int) -> CodeTable:
        column, texts = self._contract.categorical[place], self._texts[place]
        missing = texts.index(column.null) if column.nullable and column.null in texts else None
        unseen = texts.index(UNSEEN) if UNSEEN in texts else None
        levels = tuple(texts[: len(texts) - (missing is not None) - (unseen is not None)])
        return CodeTable(
            column=column.name, categories=levels, missing=missing, unseen=unseen, nullable=column.nullable, null=column.null
        )

    def _rewritten(self, part: Any, inputs: list[int]) -> Any:
        """`part`, which gets the columns `inputs` of the rows, with tables for encoders; in place, but for encoders themselves."""
        text = [column for column in inputs if column in self._text]
        if not text:
            return part
        kind = type(part).__name__
        if kind == "Tabulated":  # of an estimator that is held twice
            return part
        if kind == "Pipeline":
            return self._pipeline(part, inputs)
        if kind == "ColumnTransformer":
            return self._columns(part, inputs)
        if kind.startswith("HistGradientBoosting") and getattr(part, "_preprocessor", None) is not None:
            return self._histogram(part, inputs)
        if text == inputs and _is_tabular(part):
            return self._tabulated(part, inputs)
        if kind == "FeatureUnion":
            part.transformer_list = [(name, self._kept(each, inputs)) for name, each in part.transformer_list]
            return part
        return self._wrapped(part, inputs)

    def _kept(self, part: Any, inputs: list[int]) -> Any:
        if isinstance(part, str):
            if part == "drop":
                return part
            raise _NotTabular
        return self._rewritten(part, inputs)

    def _pipeline(self, part: Any, inputs: list[int]) -> Any:
        """Steps that look at each column for itself become one table; else the first step that does anything is rewritten."""
        steps = [(name, step) for name, step in part.steps if not _does_nothing(step)]
        ahead = _tabular_steps(steps) if all(column in self._text for column in inputs) else 0
        if ahead:
            table = self._tabulated([step for _, step in steps[:ahead]], inputs)
            part.steps = [(steps[ahead - 1][0], table), *steps[ahead:]]
            return part
        if not steps:
            raise _NotTabular
        part.steps = [(steps[0][0], self._rewritten(steps[0][1], inputs)), *steps[1:]]
        return part

    def _columns(self, part: Any, inputs: list[int]) -> Any:
        places = getattr(part, "_transformer_to_input_indices", None)
        if places is None:
            raise _NotTabular
        rewritten = []
        for name, each, picked in part.transformers_:
            own = [inputs[place] for place in places[name]]
            if any(column in self._text for column in own):
                if isinstance(picked, str):  # one column, of one dimension
                    raise _NotTabular
                each = self._kept(each, own)
            rewritten.append((name, each, picked))
        part.transformers_ = rewritten
        return part

    def _histogram(self, part: Any, inputs: list[int]) -> Any:
        """Trees that encode categories themselves, as a pipeline: their encoder a table, behind it the same trees of its codes."""
        from sklearn.pipeline import Pipeline

        columns = part._preprocessor
        places, names = columns._transformer_to_input_indices, getattr(columns, "feature_names_in_", None)
        levels = [len([each for each in held if each == each]) for held in columns.named_transformers_["encoder"].categories_]
        columns = self._columns(columns, inputs)
        columns.transformers_ = [
            (name, each if name == "encoder" else "passthrough", places[name] if names is None else names[places[name]].tolist())
            for name, each, _ in columns.transformers_
        ]
        trees = copy.copy(part)
        trees._preprocessor, trees.coded_levels = None, levels
        return Pipeline([("columns", columns), ("trees", trees)])

    def _wrapped(self, part: Any, inputs: list[int]) -> Any:
        """A wrapper (a vote, a calibration) hands its rows on: all in it that encodes text of as many columns gets them."""
        found = list(_outermost(part, len(inputs)))
        if not found:
            raise _NotTabular
        rewritten = {id(each): self._rewritten(each, inputs) for each in found}
        swap(part, rewritten)
        return part

    def _tabulated(self, part: Any, inputs: list[int]) -> Tabulated:
        """`part`, a transformer or the steps of a pipeline, as a table for the categorical columns `inputs`."""
        steps = part if isinstance(part, list) else [part]
        own = [self._text.index(column) for column in inputs]
        tables = [self._asked(steps, inputs, place) for place in own]
        table = _joined(tables)
        self._check(table, steps, inputs, own)
        return table

    def _asked(self, steps: Sequence[Any], inputs: list[int], place: int) -> np.ndarray:
        """What `steps` make of each text of a categorical column [texts, outputs], the other columns as in the first training row.

        A text that they refuse counts as one of those that they take.
        """
        texts = self._texts[place]
        found = self._answers_each(steps, inputs, place, texts)
        base = next((row for row in found if row is not None), None)
        if base is None:
            raise _NotTabular
        unseen = found[texts.index(UNSEEN)] if UNSEEN in texts else None
        for text, row in zip(texts, found, strict=True):
            if row is None:
                self._refused[place].add(text)
            elif unseen is None or not np.array_equal(row, unseen, equal_nan=True):
                self._told_apart[place].add(text)
        return np.array([base if row is None else row for row in found])

    def _answers_each(self, steps: Sequence[Any], inputs: list[int], place: int, values: list[str]) -> list[np.ndarray | None]:
        """What `steps` make of each of `values` in a column; None for one that they refuse, which is found by halving."""
        try:
            return list(self._answers(steps, inputs, self._planted(place, values)))
        except _NotTabular:
            if len(values) == 1:
                return [None]
        half = len(values) // 2
        first, second = values[:half], values[half:]
        return self._answers_each(steps, inputs, place, first) + self._answers_each(steps, inputs, place, second)

    def _planted(self, place: int, values: Sequence[str]) -> dict[str, np.ndarray]:
        tensors = {name: np.repeat(held, len(values), axis=0) for name, held in self._base.items()}
        tensors["categorical"][:, place] = values
        return tensors

    def _answers(self, steps: Sequence[Any], inputs: list[int], tensors: Mapping[str, np.ndarray]) -> np.ndarray:
        """The numbers that `steps` make of rows, float64; raises `_NotTabular` where they refuse, or make something else."""
        blocks, count, start, most = [], len(tensors["categorical"]), 0, _BLOCK
        while start < count:
            rows = self._reference.table(self._contract, {n: v[start : start + most] for n, v in tensors.items()})
            block = _transformed(steps, _picked(rows, inputs))
            if block.shape[1] * count > _MOST_CELLS:
                raise _NotTabular
            blocks.append(block)
            start, most = start + most, max(_BLOCK, _BLOCK_CELLS // max(block.shape[1], 1))
        return np.concatenate(blocks)

    def _check(self, table: Tabulated, steps: Sequence[Any], inputs: list[int], own: list[int]) -> None:
        """Whether rows of any levels are the sum of what was asked of each column."""
        generator = np.random.default_rng(0)
        taken = [np.flatnonzero([text not in self._refused[place] for text in self._texts[place]]) for place in own]
        codes = np.column_stack([generator.choice(each, _DRAWN) for each in taken])
        tensors = {name: np.repeat(held, _DRAWN, axis=0) for name, held in self._base.items()}
        for column, place in enumerate(own):
            tensors["categorical"][:, place] = np.array(self._texts[place], object)[codes[:, column]]
        if not np.array_equal(table.transform(codes), self._answers(steps, inputs, tensors), equal_nan=True):
            raise _NotTabular


def _texts_of(model: Any, contract: Contract) -> list[list[str]]:
    """For each categorical column every text that the model may tell apart, levels of encoders and what imputers take for missing,
    and after them a missing value where there may be one, and an unseen level.
    """
    lists: list[set[str]] = []
    everywhere: set[str] = set()
    for part in nested(model):
        lists += [
            {value for value in np.asarray(levels, object).tolist() if isinstance(value, str)}
            for levels in getattr(part, "categories_", ())
        ]
        stands = getattr(part, "missing_values", None)
        if isinstance(stands, str):
            everywhere.add(stands)
    seen = [{*column.categories} for column in contract.categorical]
    for held in lists:
        if not any(held & own for own in seen):
            everywhere |= held
    texts = []
    for column, own in zip(contract.categorical, seen, strict=True):
        # an encoder's list that shares no level with a column is of another one
        shared = [held for held in lists if held & own] or lists
        known = sorted(own.union(everywhere, *shared) - ({column.null} if column.nullable else set()))
        texts.append([*known, *([column.null] if column.nullable else []), UNSEEN])
    return texts


def _is_leaf(part: Any) -> bool:
    """An estimator that holds no other, and is shared by a copy of what holds it."""
    inner = nested(part)
    next(inner, None)
    return next(inner, None) is None


def _does_nothing(step: Any) -> bool:
    return step is None or step == "passthrough" or (type(step).__name__ == "FunctionTransformer" and step.func is None)


def _is_tabular(part: Any) -> bool:
    """Whether `part` makes numbers of text, each column for itself."""
    kind = type(part).__name__
    if kind == "Pipeline":
        steps = [(name, step) for name, step in part.steps if not _does_nothing(step)]
        return bool(steps) and _tabular_steps(steps) == len(steps)
    if kind == "FeatureUnion":
        return all(_is_tabular(each) for _, each in part.transformer_list)
    return kind in _OF_TEXT and type(part).__module__.startswith("sklearn.")


def _tabular_steps(steps: Sequence[tuple[str, Any]]) -> int:
    """How many steps, from the first, look at each column for itself; none where no encoder is among them."""
    count, encoded = 0, False
    for _, step in steps:
        kind = type(step).__name__
        inner = {type(part).__name__ for part in nested(step)}
        if not (_is_tabular(step) or (encoded and kind in _COLUMN_BY_COLUMN)):
            break
        encoded = encoded or bool(inner & {*_ENCODERS, "MissingIndicator"})
        count += 1
    return count if encoded else 0


def _outermost(part: Any, count: int) -> Iterator[Any]:
    """Fitted pipelines, transformers of columns, and trees that encode categories themselves, in `part`, that take `count` columns
    and lie in no other.
    """
    hidden: set[int] = set()
    for inner in nested(part):
        encodes = getattr(inner, "_preprocessor", None) is not None and type(inner).__name__.startswith("HistGradientBoosting")
        if id(inner) in hidden or not (encodes or type(inner).__name__ in ("Pipeline", "ColumnTransformer")):
            continue
        hidden.update(id(each) for each in nested(inner))
        if getattr(inner, "n_features_in_", None) == count and is_fitted(inner):
            yield inner


def _picked(rows: Any, places: list[int]) -> Any:
    """Columns of a table of pandas, polars or numpy, by place."""
    return rows.iloc[:, places] if hasattr(rows, "iloc") else rows[:, places]


def _transformed(steps: Sequence[Any], rows: Any) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # encoders warn of unseen levels, which are asked for on purpose
        try:
            for step in steps:
                rows = step.transform(rows)
            dense = rows.toarray() if hasattr(rows, "toarray") else rows.to_numpy() if hasattr(rows, "to_numpy") else rows
            return np.asarray(dense, np.float64)
        except Exception as error:  # an encoder refuses in whatever words
            raise _NotTabular from error


def _joined(tables: list[np.ndarray]) -> Tabulated:
    """One table of those of single columns: every output is made by the one column whose levels change it."""
    from prodml_magics.registry.tabulated import Tabulated  # scikit-learn comes with it

    moves = np.array([_varies(table) for table in tables])
    if (moves.sum(axis=0) > 1).any():
        raise _NotTabular
    columns = moves.argmax(axis=0)
    own = [np.flatnonzero(columns == place) for place in range(len(tables))]
    parts = [_narrowed(table[:, outputs]) for table, outputs in zip(tables, own, strict=True)]
    return Tabulated(parts, [len(outputs) for outputs in own], np.argsort(np.concatenate(own), kind="stable"))


def _varies(table: np.ndarray) -> np.ndarray:
    same = (table == table[:1]) | (np.isnan(table) & np.isnan(table[:1]))
    return np.asarray(~same.all(axis=0))


def _narrowed(table: np.ndarray) -> np.ndarray:
    """`table` [levels, outputs], or where that is large the place [levels] of its one 1 in each row."""
    if table.size <= _DENSE_CELLS:
        return table
    if not np.isin(table, (0.0, 1.0)).all() or (table.sum(axis=1) > 1).any():
        raise _NotTabular
    return np.where(table.any(axis=1), table.argmax(axis=1), -1).astype(np.int64)
