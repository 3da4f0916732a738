"""Every error that prodml-magics raises on purpose.

    ProdmlError
    ├── UsageError            the command itself is wrong                    exit 2, HTTP 400
    ├── InvalidInput          a value given by the user is unusable          exit 1, HTTP 400
    │   └── ContractError     readable input that breaks the model's contract         HTTP 422
    ├── NotFound              no such model, version, column, file           exit 1, HTTP 404
    ├── TooLarge              a body or file over its limit                  exit 1, HTTP 413
    │   └── HeadTooLarge      the head of a request over its limit                    HTTP 431
    ├── Unauthorized          no valid token where one is needed                          HTTP 401
    ├── Forbidden             the token is for something else                             HTTP 403
    ├── TooSlow               a client did not send its request in time               HTTP 408
    ├── Unsupported           ONNX or this release cannot express it         exit 1, HTTP 400
    ├── GateRefused           a check said no: parity, safety, samples       exit 3, HTTP 409
    ├── Conflict              someone else wrote first                       exit 1, HTTP 409
    ├── Unavailable           a service, port, store or disk is not usable   exit 1, HTTP 503
    │   └── Overloaded        more was asked than can be answered in time             HTTP 503
    ├── ModelFailure          the model itself failed on rows it was given           HTTP 500
    └── DeadlineExceeded      no answer within the deadline                          HTTP 504

A message is one line: what happened, the value at fault, and after a semicolon what to do next.
Doors turn these into an exit code, an HTTP status or a message without a traceback, each in one place.
"""

from __future__ import annotations

__all__ = [
    "Conflict",
    "ContractError",
    "DeadlineExceeded",
    "Forbidden",
    "GateRefused",
    "HeadTooLarge",
    "InvalidInput",
    "ModelFailure",
    "NotFound",
    "Overloaded",
    "ProdmlError",
    "TooLarge",
    "TooSlow",
    "Unauthorized",
    "Unavailable",
    "Unsupported",
    "UsageError",
    "first_line",
]


class ProdmlError(Exception):
    """Base of all errors with a message meant for people; ``str(error)`` is that message."""

    exit_code = 1
    http_status = 500


class UsageError(ProdmlError):
    """The command is not one that the grammar knows."""

    exit_code = 2
    http_status = 400


class InvalidInput(ProdmlError):
    """A value that was given cannot be used."""

    http_status = 400


class ContractError(InvalidInput):
    """The input is well formed but breaks the contract of the model."""

    http_status = 422


class NotFound(ProdmlError):
    """There is no such model, version, column or file."""

    http_status = 404


class TooLarge(ProdmlError):
    """A body or a file is larger than its limit."""

    http_status = 413


class HeadTooLarge(TooLarge):
    """The head of a request is larger than any real one."""

    http_status = 431


class TooSlow(ProdmlError):
    """A client did not send the rest of its request in time."""

    http_status = 408


class Unauthorized(ProdmlError):
    """A token is needed, and none that is valid was sent."""

    http_status = 401


class Forbidden(ProdmlError):
    """The token that was sent is for something else."""

    http_status = 403


class Unsupported(ProdmlError):
    """ONNX, or this release, cannot express what was asked for."""

    http_status = 400


class GateRefused(ProdmlError):
    """A check that must pass before a change did not pass; nothing was changed."""

    exit_code = 3
    http_status = 409


class Conflict(ProdmlError):
    """Another process changed the same model first; nothing was changed by this one."""

    http_status = 409


class Unavailable(ProdmlError):
    """A service, port, store or disk cannot be used at the moment."""

    http_status = 503


class Overloaded(Unavailable):
    """An answer would come too late; `seconds` is how long what waits before it will take."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message, seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return str(self.args[0])


class ModelFailure(ProdmlError):
    """The model itself failed on the rows of a request."""

    http_status = 500


class DeadlineExceeded(ProdmlError):
    """No answer within the deadline."""

    http_status = 504


def first_line(error: BaseException, most: int = 200) -> str:
    """The first line of what `error` says, at most so many characters of it; the name of its type where it says nothing.

    >>> first_line(ValueError("too large\\nby far")), first_line(KeyError())
    ('too large', 'KeyError')
    """
    return next(iter(str(error).strip().splitlines()), "")[:most] or type(error).__name__
