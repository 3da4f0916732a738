"""prodml-magics takes a model from the notebook in which it was born to a monitored production service.

``%load_ext prodml_magics`` in a notebook, ``prodml`` on a command line, or the functions named in ``__all__``. Nothing heavy is
imported before it is used.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "deploy",
    "doctor",
    "down",
    "drift",
    "labels",
    "optimize",
    "load_ipython_extension",
    "plan",
    "register",
    "replay",
    "rollback",
    "rollout",
    "shadow",
    "status",
    "timeline",
    "token",
    "undeploy",
    "undo",
    "up",
    "whatif",
]


def load_ipython_extension(shell: Any) -> None:
    """What ``%load_ext prodml_magics`` calls."""
    from prodml_magics.magics.extension import load

    load(shell)


def __getattr__(name: str) -> Any:
    if name in __all__:
        from prodml_magics import functions

        return getattr(functions, name)
    raise AttributeError(f"module 'prodml_magics' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
