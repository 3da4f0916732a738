"""A converter without a process of its own: what it converts with takes seconds to load there, each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from prodml_magics.errors import GateRefused
from prodml_magics.inference.session import open_session
from prodml_magics.registry.converters.blame import faults_of
from prodml_magics.registry.converters.sklearn import convert_sklearn_model

__all__ = ["Here"]


class Here:
    """Converts in this process."""

    convert = staticmethod(convert_sklearn_model)
    blame = staticmethod(faults_of)

    def start(self) -> None:
        """Nothing is to be started."""

    def run(self, model: bytes, batches: Sequence[Mapping[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
        session = open_session(model, device="cpu")
        try:
            return [session.run(batch) for batch in batches]
        except Exception as error:
            raise GateRefused(str(error)) from error
