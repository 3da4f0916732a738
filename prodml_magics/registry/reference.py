"""scikit-learn's answers to exactly the values that the gateway receives."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prodml_magics.contract.cells import is_null
from prodml_magics.contract.encode import decode_columns
from prodml_magics.contract.schema import Column, Contract
from prodml_magics.errors import InvalidInput
from prodml_magics.registry.frames import frame_kind, rebuild
from prodml_magics.registry.roles import Role, nested, reference_answers, unwrap

__all__ = ["Reference", "check_columns"]


class Reference:
    """The model, asked by wire tensors: numbers rounded as the wire rounds them, in the kind of table it was fitted on."""

    kind = "sklearn"

    def __init__(self, model: Any, role: Role, columns: Sequence[Column], rows: Any) -> None:
        self.model = unwrap(model)
        self.role = role
        self._dtypes = {column.name: column.dtype for column in columns}
        self._like = _table_like(self.model, rows, list(self._dtypes))

    def parts(self) -> dict[str, Any]:
        """What another process needs to answer as this one does."""
        return {"model": self.model, "role": self.role, "like": _few(self._like)}

    def table(self, contract: Contract, tensors: Mapping[str, np.ndarray]) -> Any:
        """The rows of `tensors` as the model wants them."""
        return rebuild(decode_columns(contract, tensors), self._like, self._dtypes)

    def answer(self, contract: Contract, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by our names; scikit-learn's own exceptions pass through."""
        with warnings.catch_warnings():
            # encoders warn of unseen categories, which the probes contain on purpose
            warnings.simplefilter("ignore")
            return reference_answers(self.model, self.role, self.table(contract, tensors))


def _few(rows: Any) -> Any:
    """No rows, or in pandas and arrays the first missing value of each column: `rebuild` needs to see how it looks."""
    kind = frame_kind(rows)
    if kind == "polars":
        return rows[:0]
    missing = rows.isna().to_numpy() if kind == "pandas" else np.vectorize(is_null, otypes=[bool])(np.asarray(rows, object))
    first = sorted({int(missing[:, place].argmax()) for place in range(missing.shape[1]) if missing[:, place].any()})
    return rows.iloc[first] if kind == "pandas" else np.asarray(rows)[first]


def check_columns(model: Any, names: Sequence[str], where: str) -> None:
    """Raise `InvalidInput` when the columns `names` of the `where` rows are not those that `model` was fitted on."""
    fitted = [str(name) for name in getattr(model, "feature_names_in_", ())]
    count = getattr(model, "n_features_in_", len(names))
    if fitted:
        missing, extra = [n for n in fitted if n not in names], [n for n in names if n not in fitted]
        if missing or extra:
            what = " and ".join([f"lack {name!r}" for name in missing[:1]] + [f"have {name!r}" for name in extra[:1]])
            raise InvalidInput(
                f"the {where} rows {what}, the model was fitted on {', '.join(fitted[:5])}…; give the same columns"
            )
        if fitted != list(names):
            order = ", ".join(fitted[:5])
            raise InvalidInput(f"the {where} columns are in another order than at fit, where they began {order}; reorder them")
    elif count != len(names):
        raise InvalidInput(f"the {where} rows have {len(names)} columns, the model was fitted on {count}; give the same columns")


def _knows_nan(model: Any) -> bool:
    """Whether missing text was NaN when `model` was fitted, as in pandas; polars has null there, another category."""
    levels = [level for part in nested(model) for level in getattr(part, "categories_", ())]
    return any(isinstance(value, float) and value != value for values in levels for value in values.tolist())


def _table_like(model: Any, rows: Any, names: list[str]) -> Any:
    """What to imitate: `rows`, except that a model fitted on names gets names and one fitted without gets none."""
    if frame_kind(rows) == "polars" and _knows_nan(model):
        rows = rows.to_pandas()
    named = hasattr(model, "feature_names_in_")
    kind = frame_kind(rows)
    if kind == "numpy" and named:
        import pandas

        return pandas.DataFrame(np.asarray(rows), columns=names)
    picks = any(type(step).__name__ == "ColumnTransformer" for _, step in getattr(model, "steps", ()))
    return np.empty((0, len(names))) if kind != "numpy" and not named and not picks else rows
