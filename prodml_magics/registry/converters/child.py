"""The process that converts: ``python -m prodml_magics.registry.converters.child``, started before its message is ready.

The model comes in by pickle: it is an object of the caller's own memory, on the caller's own machine.
"""

from __future__ import annotations

import os
import pickle
import sys
import warnings
from importlib import import_module
from typing import Any

import msgspec

from prodml_magics.errors import Unsupported
from prodml_magics.inference.process import limit_memory
from prodml_magics.registry.converters.blame import faults_of
from prodml_magics.registry.converters.messages import Converted
from prodml_magics.registry.converters.sklearn import convert_sklearn_model

__all__ = ["main"]

_MEMORY_BYTES = 16 * 2**30
"""Beyond what skl2onnx maps; torch is loaded within it, where a network is converted."""


def main() -> None:
    """Read ``(verb, arguments)`` from stdin, write a `Converted` to stdout."""
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever libraries print must not mix with the answer
    import skl2onnx  # noqa: F401  2 s, spent while the caller still prepares its message

    # libraries warn of their deprecations on stderr, which is read only when this process fails
    warnings.simplefilter("ignore")
    message = sys.stdin.buffer.read()
    if not message:  # whoever started this process is gone, or had no use for it
        return
    limit_memory(_MEMORY_BYTES)
    verb, arguments = pickle.loads(message)
    converted = Converted(faults=faults_of(*arguments)) if verb == "blame" else _convert(verb, arguments)
    with os.fdopen(answers, "wb") as stream:
        stream.write(msgspec.msgpack.encode(converted))


def _convert(verb: str, arguments: tuple[Any, ...]) -> Converted:
    try:
        if verb == "network":
            (network,) = arguments
            return Converted(import_module(f"{__package__}.{network.family}").convert_network(network))
        return Converted(convert_sklearn_model(*arguments))
    except Unsupported as error:
        return Converted(unsupported=str(error))


if __name__ == "__main__":
    main()
