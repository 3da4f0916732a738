"""The verbs as Python functions: the long flags are the arguments, with ``_`` for ``-``.

    from prodml_magics import register, deploy, drift

They return the same results as magics and CLI, and raise `prodml_magics.errors.ProdmlError` with one line for people.
"""

from __future__ import annotations

from typing import Any

from prodml_magics.actions import grammar, verbs
from prodml_magics.actions.origin import current_cell
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import UsageError
from prodml_magics.wire.requests import VERBS

__all__ = [
    "deploy",
    "doctor",
    "down",
    "drift",
    "labels",
    "optimize",
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


def _run(verb: str, values: dict[str, Any]) -> Any:
    known = [field.name for field in grammar.fields_of(VERBS[verb], "python")]
    for name in values:
        if name not in known:
            raise UsageError(f"{verb} takes no {name}; it takes {', '.join(known) or 'nothing'}")
    with Workspace.open(cell=current_cell()) as workspace:
        return verbs.run(workspace, grammar.build(VERBS[verb], values))


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def register(model: Any, *, name: str, train: Any = (), test: Any = (), **flags: Any) -> Any:
    """Convert `model` to ONNX, prove that it answers the same, and record it as a new version in MLflow.

    `train` and `test` are ``(X, y)`` or ``X``; X is numpy, polars or pandas, [rows, columns]. Flags: ``task``, ``description``,
    ``mask``, ``exact``, ``key``, ``trust``. Returns a result with ``.name .version .metrics .parity .warnings``.
    """
    return _run("register", {"model": model, "name": name, "train": _tuple(train), "test": _tuple(test), **flags})


def deploy(model: str, **flags: Any) -> Any:
    """Switch all traffic to ``"name@version"`` (default: the candidate), or walk a ladder: ``canary=[1, 5, 25, 50, 100]``.

    Flags: ``blue_green``, ``bake``, ``guard``, ``margin``, ``alpha``, ``why``, ``variant``, ``dry_run``, ``shadow_first``, ``slo_p99``,
    ``max_batch``, ``mask``, ``cache``, ``cache_ttl``, ``fsync``, ``on_log_failure``, ``log_sample``, ``keep``, ``baseline``,
    ``default``, ``output_range``, ``idle``, ``device``, ``gpu_memory``, ``key``; with ``canary``: ``isolate``,
    ``min_rows``, ``deadline``, ``segment``, each as on the command line. Returns ``.url .version .previous``;
    with a ladder also ``.phase .guards .verdict``.
    """
    return _run("deploy", {"model": model, **_joined(flags)})


def optimize(model: str, *, test: Any = (), **flags: Any) -> Any:
    """Make and measure variants of a network's ONNX file on the rows ``test``, ``(X, y)`` or X; keep those that drop little.

    Flags: ``int8``, ``fp16``, ``auto``, ``max_drop``. Returns ``.variants .chosen .frame``; ``deploy(model, variant="int8")`` serves one.
    """
    return _run("optimize", {"model": model, "test": _tuple(test), **flags})


def plan(model: str, **flags: Any) -> Any:
    """How long a ladder needs until its guards can see an effect, at the traffic of the last days.

    Flags: ``canary``, ``effect``, ``power``, ``bake``, ``min_rows``, ``guard``, ``margin``, ``alpha``, ``deadline``, ``window``,
    ``simulate``, ``strict``. Returns ``.frame .warnings .proposal``.
    """
    return _run("plan", {"model": model, **_joined(flags)})


def _joined(flags: dict[str, Any]) -> dict[str, Any]:
    """Flags that are written with commas may be given as lists."""
    lists = {name: flags[name] for name in ("canary", "guard") if isinstance(flags.get(name), list | tuple)}
    return flags | {
        name: ",".join(f"{each:g}" if isinstance(each, float) else str(each) for each in found) for name, found in lists.items()
    }


def rollout(model: str, **flags: Any) -> Any:
    """How a canary fares, or one of ``pause``, ``resume``, ``step``, ``promote``, ``abort`` as ``True``; flag: ``why``.

    Returns ``.phase .step .guards .verdict .frame .waits_for``.
    """
    return _run("rollout", {"model": model, **flags})


def rollback(model: str, **flags: Any) -> Any:
    """Put all traffic back on the previous version. Returns ``.version .previous``; flag: ``why``."""
    return _run("rollback", {"model": model, **flags})


def undeploy(model: str, **flags: Any) -> Any:
    """Stop serving a model once the requests in flight are answered; flag: ``why``."""
    return _run("undeploy", {"model": model, **flags})


def shadow(model: str, **flags: Any) -> Any:
    """Start a shadow (``"name@version"``), compare it (``"name"``), or end it (``stop=True``).

    Flags: ``sample`` (share of the live rows), ``isolate``, ``rows``, ``time``, ``promote_if``, ``tolerance``, ``margin``, ``alpha``,
    ``stop``, ``why``. A comparison has ``.verdict .frame``.
    """
    return _run("shadow", {"model": model, **flags})


def drift(model: Any, current: Any = None, **flags: Any) -> Any:
    """Compare served rows of a model with its training rows, or two frames: ``drift(reference, current)``.

    Flags: ``window``, ``last``, ``since``, ``until``, ``arm``, ``against``, ``same_hour``, ``columns``, ``method``, ``by``,
    ``train`` (rows to build a missing profile from), ``embed`` (a function that turns a list of texts into vectors), ``tolerance``,
    ``alpha``, ``fdr``, ``exact``, ``sequential``, ``source``, ``memory``, ``device``.
    Returns ``.drifted .verdict .seconds .device .frame .summary .slices .joint``.
    """
    return _run("drift", {"model": model, "current": current, **flags})


def replay(model: str, **flags: Any) -> Any:
    """Answer recorded requests anew with ``"name@version"`` (default: the candidate), offline, beside what was answered.

    Flags: ``window``, ``speed``, ``tolerance``, ``margin``, ``alpha``, ``device``. Returns ``.verdict .comparison .frame
    .rows_per_second``.
    """
    return _run("replay", {"model": model, **flags})


def whatif(model: str, **flags: Any) -> Any:
    """Decide the past rollouts of a model anew, under another ladder or other guards, from what was recorded of them.

    Flags: ``canary``, ``guard``, ``margin``, ``alpha``, ``min_rows``, ``bake``, ``deadline``, ``limit``. Returns ``.frame
    .exposure_saved .incidents .caught .hours_lost``.
    """
    return _run("whatif", {"model": model, **_joined(flags)})


def labels(model: str, frame: Any = None) -> Any:
    """Append the labels in `frame` (columns ``request_id``, ``label``; where there are, ``row``, ``labelled_at``, metrics), or count them.

    `frame` is polars, pandas, a mapping of columns or a file. Returns ``.taken .matched .unknown .ambiguous .corrected``, and without
    a frame ``.served .labelled``.
    """
    return _run("labels", {"model": model, "frame": frame})


def timeline(model: str = "", **flags: Any) -> Any:
    """What was live when, by whom, from which notebook cell and why; flag: ``limit``. Returns ``.frame``."""
    return _run("timeline", {"model": model, **flags})


def undo(id: int | None = None, **flags: Any) -> Any:
    """Undo a ledger entry, the latest that can be undone by default; flags: ``why``, ``dry_run``."""
    return _run("undo", {"id": id, **flags})


def status() -> Any:
    """What is running and who answers for which model; ``.to_dict()`` has gateway, controller and models."""
    return _run("status", {})


def up(**flags: Any) -> Any:
    """Start gateway and controller of this home. Returns ``.url``.

    Flags: ``port``, ``workers``, ``host``, ``tls_cert``, ``tls_key``.
    """
    return _run("up", flags)


def token(name: str = "", **flags: Any) -> Any:
    """Make, renew or revoke a bearer token, or list all; flags: ``scope`` (a tuple of scopes), ``renew``, ``grace``, ``revoke``.

    Returns ``.tokens``, without secrets, and ``.secret_file``, where the new one was laid down.
    """
    return _run("token", {"name": name, **flags})


def down() -> Any:
    """Stop gateway and controller of this home."""
    return _run("down", {})


def doctor() -> Any:
    """Check packages, GPU, ports, stores and the home; ``.frame`` lists findings with remedies."""
    return _run("doctor", {})
