"""The first run of a model, in a process that may die in our place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from prodml_magics.errors import GateRefused
from prodml_magics.inference.messages import Answer, Ask, pack, unpack
from prodml_magics.inference.process import Child, ChildFailed, ChildTimeout

__all__ = ["MEMORY_BYTES", "smoke_run"]

MEMORY_BYTES = 4 * 2**30
"""Memory that a model may take, in bytes, on top of the empty process."""


def _ask_once(message: bytes, timeout_s: float) -> bytes:
    """Ask a process that is started for this message, and ends with it."""
    with Child("prodml_magics.inference.child") as child:
        return child.ask(message, timeout_s)


def smoke_run(
    model: bytes,
    batches: Sequence[Mapping[str, np.ndarray]],
    *,
    timeout_s: float = 30,
    memory_bytes: int = MEMORY_BYTES,
    ask: Callable[[bytes, float], bytes] = _ask_once,
) -> list[dict[str, np.ndarray]]:
    """Load `model` and run each batch in a child process; the outputs by name, one dict for each batch.

    Raises `GateRefused` when loading or running fails, crashes the process, takes longer than `timeout_s` seconds or more
    memory than `memory_bytes`. Costs about 0.4 s, unless `ask` has a process at hand that calls `child.answer_ask`.
    """
    limits = Ask(model, [pack(batch) for batch in batches], memory_bytes, math.ceil(timeout_s) + 5)
    try:
        answer = msgspec.msgpack.decode(ask(msgspec.msgpack.encode(limits), timeout_s), type=Answer)
    except ChildTimeout as error:
        raise GateRefused(f"the model was still running after {timeout_s:g} s and was ended; it may never finish") from error
    except ChildFailed as error:
        raise GateRefused(f"the model crashed the process that tried it: {error}; export it again, in another way") from error
    if answer.refused:
        raise GateRefused(f"the model failed its first run: {answer.refused}")
    return [unpack(outputs) for outputs in answer.outputs]
