"""The process that converts: ``python -m prodml_magics.registry.converters.child``, started before its message is ready.

A model comes in by pickle: it is an object of the caller's own memory, on the caller's own machine.
"""

from __future__ import annotations

import gc
import pickle
import warnings
from importlib import import_module
from typing import Any

import msgspec

from prodml_magics.errors import Unsupported
from prodml_magics.inference.child import answer_ask
from prodml_magics.inference.forked import Note, answer_each
from prodml_magics.inference.process import limit_memory
from prodml_magics.registry.converters.blame import faults_of
from prodml_magics.registry.converters.messages import RUN, Converted
from prodml_magics.registry.converters.sklearn import convert_sklearn_model
from prodml_magics.registry.converters.steps import tell_steps

__all__ = ["main"]

_MEMORY_BYTES = 16 * 2**30
"""Beyond what skl2onnx maps; torch is loaded within it, where a network is converted."""


def main() -> None:
    """Answer each message in a fork: a `Converted` to ``(verb, arguments)``, an `Answer` to an `Ask`."""
    # libraries warn of their deprecations on stderr, which is read only when this process fails
    warnings.simplefilter("ignore")
    gc.disable()  # what is imported stays; to look through it again and again takes a tenth of the time
    import onnxruntime  # noqa: F401
    import skl2onnx  # noqa: F401  4 s, spent once, and while the caller still prepares its message

    gc.freeze()
    gc.enable()
    answer_each(_answer)


def _answer(message: bytes, note: Note) -> bytes:
    if message.startswith(RUN):
        return answer_ask(message[len(RUN) :])
    limit_memory(_MEMORY_BYTES)
    verb, arguments = pickle.loads(message)
    return msgspec.msgpack.encode(Converted(faults=faults_of(*arguments)) if verb == "blame" else _convert(verb, arguments, note))


def _convert(verb: str, arguments: tuple[Any, ...], note: Note) -> Converted:
    try:
        if verb == "network":
            (network,) = arguments
            return Converted(import_module(f"{__package__}.{network.family}").convert_network(network))
        tell_steps(note)
        return Converted(convert_sklearn_model(*arguments))
    except Unsupported as error:
        return Converted(unsupported=str(error))


if __name__ == "__main__":
    main()
