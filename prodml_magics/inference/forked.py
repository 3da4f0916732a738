"""The inside of a process that has loaded what its answers take, and forks itself for each: none waits for imports again.

Its socket is descriptor 0. A fork is alone with its message: what it does, fills or breaks is gone with it.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from functools import partial
from typing import IO, NoReturn

from prodml_magics.inference.frames import receive, send
from prodml_magics.inference.process import how_it_ended
from prodml_magics.inference.worker import end_with, own_socket

__all__ = ["ANSWERED", "FAILED", "NOTED", "Note", "answer_each"]

ANSWERED, FAILED, NOTED = b"\0", b"\1", b"\2"
"""The first byte of a reply: an answer follows, or in words how the fork ended without one, or in words what it is at until then."""
Note = Callable[[str], None]
"""Told what a fork is at."""
_MOST_SAID = 4_000


def answer_each(answer: Callable[[bytes, Note], bytes]) -> None:
    """Reply to every message with what `answer` makes of it in a fork, until the other side closes; it may note what it is at.

    Call it before this process has a thread of its own: no fork has one.
    """
    link = own_socket()
    while (message := receive(link)) is not None:
        with tempfile.TemporaryFile() as said:
            child = os.fork()
            if child == 0:
                _answer(link, said, lambda: answer(bytes(message), partial(_note, link)))
            del message
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if code:
                send(link, FAILED + how_it_ended(code, _tail(said)).encode())


def _note(link: socket.socket, text: str) -> None:
    send(link, NOTED + text.encode())


def _answer(link: socket.socket, said: IO[bytes], make: Callable[[], bytes]) -> NoReturn:
    """In the fork: reply, and end without what this process would do at its own end."""
    code = 1
    try:
        os.dup2(said.fileno(), 2)
        os.dup2(2, 1)
        threading.Thread(target=end_with, args=(link,), daemon=True).start()
        send(link, ANSWERED + make())
        code = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _tail(said: IO[bytes]) -> bytes:
    said.seek(max(0, said.seek(0, os.SEEK_END) - _MOST_SAID))
    return said.read()
