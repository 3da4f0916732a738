"""Model files that a person names: ``.onnx`` by its bytes, a pickle only when trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prodml_magics.errors import InvalidInput, NotFound, TooLarge, Unsupported
from prodml_magics.inference.gate import LARGEST_MODEL

__all__ = ["load_model"]

_PICKLED = (".joblib", ".pkl", ".pickle")


def load_model(path: str | Path, *, trust: bool = False) -> Any:
    """The bytes of an ``.onnx`` file, or the object in a pickle when `trust` is given.

    Raises `NotFound`, `TooLarge`, `Unsupported` for another kind of file, and `InvalidInput` for a pickle without trust:
    a pickle runs whatever code its maker put into it.
    """
    file = Path(path)
    kind = file.suffix.lower()
    if kind not in (".onnx", *_PICKLED):
        raise Unsupported(f"{file.name!r} is no model file that this release reads; give an .onnx or .joblib file")
    if not file.is_file():
        raise NotFound(f"there is no file {str(path)!r}; check the path")
    if kind == ".onnx":
        return _read(file)
    if not trust:
        raise InvalidInput(f"{file.name!r} is a pickle, which can run any code when it is loaded; add --trust if you made it")
    return _unpickle(file)


def _read(file: Path) -> bytes:
    if file.stat().st_size > LARGEST_MODEL:
        raise TooLarge(
            f"{file.name!r} has {file.stat().st_size / 2**30:.1f} GiB; at most {LARGEST_MODEL / 2**30:.0f} GiB can be registered"
        )
    return file.read_bytes()


def _unpickle(file: Path) -> Any:
    import joblib  # type: ignore[import-untyped]

    try:
        return joblib.load(file)
    except Exception as error:  # a broken pickle can raise anything
        raise InvalidInput(
            f"{file.name!r} cannot be loaded: {type(error).__name__} {str(error)[:120]}; save the model again"
        ) from error
