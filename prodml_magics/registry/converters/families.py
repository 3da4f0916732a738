"""The families of models: a row here and the file that it names are all that a further one takes."""

from __future__ import annotations

from typing import Any, NamedTuple

from prodml_magics.errors import InvalidInput, Unsupported

__all__ = ["FAMILIES", "Family", "family_of", "family_of_part"]


class Family(NamedTuple):
    """A kind of model, known by the module of one of its base classes."""

    name: str
    modules: tuple[str, ...]
    converter: str = ""
    """The file in this room that converts it, without ``.py``; empty where this release does not."""
    network: bool = False
    """Whether it is a function of one array, converted whole, and no estimator that may stand in a pipeline of scikit-learn's."""


FAMILIES = (
    Family("XGBoost", ("xgboost",), "xgboost"),
    Family("LightGBM", ("lightgbm",), "lightgbm"),
    Family("CatBoost", ("catboost",), "catboost"),
    Family("PyTorch", ("torch",), "pytorch", network=True),
    Family("JAX", ("jax", "jaxlib", "flax", "equinox"), "jaxpr", network=True),
    Family("TensorFlow", ("tensorflow", "keras")),
    Family("scikit-learn", ("sklearn",), "sklearn"),
)
"""First match wins: XGBoost's estimators are scikit-learn's by inheritance."""


def family_of(model: Any) -> Family:
    """The family of `model`; raises `Unsupported` naming it, or a part of it, when this release does not convert it."""
    if isinstance(model, type):
        raise InvalidInput(f"{model.__name__} is a class; register a fitted instance of it")
    found = family_of_part(model)
    if found is not None and found.converter:
        if not found.network:
            _check_parts(model)
        return found
    raise Unsupported(f"{_what(model, found)}; {_registered()}")


def family_of_part(part: Any) -> Family | None:
    """The row of one estimator, whatever it holds; None for what is of no family.

    A pair of a function and its parameters is JAX's, as is a function that is partly applied, or bound, to what is.
    """
    if isinstance(part, tuple):
        return next(row for row in FAMILIES if row.name == "JAX") if len(part) == 2 and callable(part[0]) else None
    part = getattr(part, "func", getattr(part, "__self__", part)) if type(part).__module__ in ("functools", "builtins") else part
    modules = {base.__module__.partition(".")[0] for base in type(part).__mro__}
    return next((family for family in FAMILIES if modules.intersection(family.modules)), None)


def _what(model: Any, family: Family | None) -> str:
    name = f"{type(model).__module__}.{type(model).__name__}"
    if family is not None:
        return f"{name} is {'an' if family.name[0] in 'X' else 'a'} {family.name} model"
    return f"{name} is a plain function" if callable(model) else f"{name} is no model"


def _registered() -> str:
    """The half sentence that says what this release registers."""
    *most, last = sorted((family.name for family in FAMILIES if family.converter), key=lambda name: name != "scikit-learn")
    names = f"{', '.join(most)} and {last}" if most else last
    return f"this release registers {names} models and .onnx files"


def _check_parts(model: Any) -> None:
    """Refuse a pipeline with a model in it that is not converted, by name."""
    from prodml_magics.registry.roles import nested

    for part in nested(model):
        other = family_of_part(part)
        if other is not None and (other.network or not other.converter):
            raise Unsupported(f"the model holds {type(part).__name__} of {other.name}; {_registered()}")
