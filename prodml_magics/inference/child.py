"""The process in which a model is loaded and run for the first time: ``python -m prodml_magics.inference.child``."""

from __future__ import annotations

import os
import resource
import sys
from contextlib import suppress

import msgspec

from prodml_magics.errors import ProdmlError, first_line
from prodml_magics.inference.messages import Answer, Ask, pack, unpack
from prodml_magics.inference.process import limit_memory
from prodml_magics.inference.session import open_session

__all__ = ["answer_ask", "main"]


def main() -> None:
    """Read an `Ask` from stdin, write an `Answer` to stdout."""
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever native code prints must not mix with the answer
    answer = answer_ask(sys.stdin.buffer.read())
    with os.fdopen(answers, "wb") as stream:
        stream.write(answer)


def answer_ask(message: bytes) -> bytes:
    """An `Answer` to an `Ask`, both as MessagePack; this process is limited by it and good for nothing else afterwards."""
    return msgspec.msgpack.encode(_answer(msgspec.msgpack.decode(message, type=Ask)))


def _answer(ask: Ask) -> Answer:
    import onnxruntime  # noqa: F401  loaded before the limit, which counts from here

    _limit(ask)
    try:
        session = open_session(ask.model, device="cpu")
        return Answer([pack(session.run(unpack(batch))) for batch in ask.batches])
    except ProdmlError as error:
        return Answer(refused=str(error))
    except MemoryError:
        return Answer(refused=f"it needs more than {ask.memory_bytes / 2**30:.1f} GiB of memory")
    except Exception as error:  # onnxruntime's exceptions have no common base; each of them is an answer here
        return Answer(refused=f"onnxruntime cannot run it: {first_line(error, 300)}")


def _limit(ask: Ask) -> None:
    """Memory and processor time of this process; a system without such limits keeps the parent's deadline alone."""
    limit_memory(ask.memory_bytes)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (ask.cpu_seconds,) * 2)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
