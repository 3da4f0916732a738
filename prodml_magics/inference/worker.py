"""The inside of a process that answers for one model: it loads what it is sent and runs what comes after.

Its socket is descriptor 0. It ends when the other side closes, even in the middle of a run that never returns.
"""

from __future__ import annotations

import os
import resource
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec
import numpy as np

from prodml_magics.inference.frames import receive, send
from prodml_magics.inference.messages import Answer, Run, Start, pack, unpack

__all__ = ["answer_for", "end_with", "own_socket"]

Tensors = Mapping[str, np.ndarray]
Load = Callable[[Start], tuple[Callable[[Tensors], Tensors], str]]
"""From the first message to what runs, and where it does."""


def answer_for(load: Load) -> None:
    """Load the model of the first message with `load`, then answer every run until the other side closes."""
    link = own_socket()
    threading.Thread(target=end_with, args=(link,), daemon=True).start()
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    model = None
    while (message := receive(link)) is not None:
        if model is None:
            try:
                model, device = load(msgspec.msgpack.decode(message, type=Start))
                answer = Answer(device=device)
            except Exception as error:  # a user's own code: whatever it throws is the answer
                answer = Answer(refused=_line(error))
        else:
            answer = _run(model, message)
        send(link, msgspec.msgpack.encode(answer))


def _run(model: Callable[[Tensors], Tensors], message: bytearray) -> Answer:
    try:
        tensors = unpack(msgspec.msgpack.decode(message, type=Run).tensors)
        started = time.perf_counter()
        outputs = model(tensors)
        return Answer([pack(outputs)], seconds=time.perf_counter() - started)
    except Exception as error:  # as above
        return Answer(refused=_line(error))


def own_socket() -> socket.socket:
    """The socket moved off descriptor 0, and prints to stderr, so that code which reads or prints disturbs no message."""
    link = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return link


def end_with(link: socket.socket) -> None:
    """End this process as soon as the other side of `link` is closed."""
    waiting = select.poll()
    waiting.register(link, select.POLLHUP)
    waiting.poll()
    os._exit(0)


def _line(error: Exception) -> str:
    text = next(iter(str(error).strip().splitlines()), "")[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
