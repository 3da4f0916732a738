"""A Python model as bytes that another process can answer with: the model, its role, and the kind of table that it wants.

Written by the registration of a model that was trusted, read only by the process that answers for it; a pickle can run any code.
"""

from __future__ import annotations

import pickle
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from prodml_magics.contract.schema import Contract
from prodml_magics.errors import InvalidInput, Unsupported, first_line
from prodml_magics.registry.callables import CallableReference
from prodml_magics.registry.reference import Reference

__all__ = ["BUNDLE_FORMAT", "Answering", "read_bundle", "write_bundle"]

BUNDLE_FORMAT = 1


class Answering(Protocol):
    """A Python model that answers wire tensors under the names of our outputs."""

    def answer(self, contract: Contract, tensors: Any) -> dict[str, np.ndarray]: ...


def write_bundle(reference: Reference | CallableReference) -> bytes:
    """The bytes of ``model.pkl``; code of the notebook and of modules that are not installed travels along.

    Raises `InvalidInput` for a model that cannot be pickled.
    """
    import cloudpickle  # type: ignore[import-untyped]

    parts = {"format": BUNDLE_FORMAT, "kind": reference.kind, **reference.parts()}
    with _by_value(cloudpickle):
        try:
            return cloudpickle.dumps(parts)
        except (TypeError, ValueError, AttributeError, RecursionError, pickle.PicklingError) as error:
            line = first_line(error, 160)
            raise InvalidInput(f"the model cannot be pickled ({line}); take open files, locks and connections off it") from error


def read_bundle(data: bytes, contract: Contract) -> Answering:
    """The model of ``model.pkl``. Runs the code in it: call it only in a process that may do no harm."""
    parts = pickle.loads(data)
    if parts["format"] > BUNDLE_FORMAT:
        raise Unsupported(f"it was registered by a newer release (format {parts['format']}); update prodml-magics")
    if parts["kind"] == CallableReference.kind:
        return CallableReference(parts["model"], parts["task"], contract.columns, parts["like"], parts["outputs"])
    return Reference(parts["model"], parts["role"], contract.columns, parts["like"])


@contextmanager
def _by_value(cloudpickle: Any) -> Iterator[None]:
    """Pickle functions and classes of the user's own modules whole: the process that unpickles cannot import them."""
    own = [module for module in list(sys.modules.values()) if _is_own(module)]
    fresh = [module for module in own if module.__name__ not in cloudpickle.list_registry_pickle_by_value()]
    for module in fresh:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in fresh:
            cloudpickle.unregister_pickle_by_value(module)


def _is_own(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    name = getattr(module, "__name__", "")
    if not isinstance(file, str) or not isinstance(name, str) or name == "__main__" or name not in sys.modules:
        return False
    if name.partition(".")[0] == "prodml_magics":
        return False
    path = Path(file)
    return not any(path.is_relative_to(folder) for folder in _INSTALLED)


_INSTALLED = tuple(
    folder
    for name in ("stdlib", "platstdlib", "purelib", "platlib")
    for folder in {Path(sysconfig.get_path(name)), Path(sysconfig.get_path(name)).resolve()}
)
"""Where modules lie that the process which answers can import as well."""
