"""One frozen record per verb. Magic parser, completions, CLI options, REST bodies and TypeScript derive from it.

A field's ``Meta.description`` is its help text. ``extra`` says how people type it: ``positional``, ``metavar``, and
``reference`` for values that are Python objects in a notebook and paths on a command line.
"""

from __future__ import annotations

from prodml_magics.wire.requests.base import BOUNDS, Request
from prodml_magics.wire.requests.drift import Drift
from prodml_magics.wire.requests.history import Timeline, Undo
from prodml_magics.wire.requests.releases import Deploy, Rollback, Shadow, Undeploy
from prodml_magics.wire.requests.rollouts import Labels, Plan, Replay, Rollout, Whatif
from prodml_magics.wire.requests.services import Doctor, Down, Status, Token, Up
from prodml_magics.wire.requests.versions import Optimize, Register

__all__ = [
    "BOUNDS",
    "Deploy",
    "Doctor",
    "Down",
    "Drift",
    "Labels",
    "Optimize",
    "Plan",
    "Register",
    "Replay",
    "Request",
    "Rollback",
    "Rollout",
    "Shadow",
    "Status",
    "Timeline",
    "Token",
    "Undeploy",
    "Undo",
    "Up",
    "VERBS",
    "Whatif",
]

VERBS: dict[str, type[Request]] = {
    request.verb(): request
    for request in (
        Register,
        Plan,
        Deploy,
        Optimize,
        Rollout,
        Rollback,
        Undeploy,
        Shadow,
        Replay,
        Whatif,
        Labels,
        Drift,
        Timeline,
        Undo,
        Status,
        Up,
        Token,
        Down,
        Doctor,
    )
}
"""Every verb with its request record, in the order in which help lists them."""
