"""A converter without a process of its own: what it converts with takes seconds to load there, each time."""

from __future__ import annotations

from prodml_magics.registry.converters.blame import faults_of
from prodml_magics.registry.converters.sklearn import convert_sklearn_model

__all__ = ["Here"]


class Here:
    """Converts in this process."""

    convert = staticmethod(convert_sklearn_model)
    blame = staticmethod(faults_of)
