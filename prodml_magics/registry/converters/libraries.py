"""The trees of an estimator of a library beside scikit-learn, by the file that its family names."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from prodml_magics.registry.converters.ensembles import Ensemble
from prodml_magics.registry.converters.families import family_of_part

__all__ = ["library_reader"]


def library_reader(part: Any) -> Callable[[Any], Ensemble] | None:
    """The function that reads the trees of estimators such as `part`; None for scikit-learn's own."""
    family = family_of_part(part)
    if family is None or family.network or family.converter in ("", "sklearn"):
        return None
    reader: Callable[[Any], Ensemble] = import_module(f"{__package__}.{family.converter}").ensemble_of
    return reader
