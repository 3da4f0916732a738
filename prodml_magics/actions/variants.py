"""A variant as a version of its own, so that a canary, a shadow and a rollback treat it like any other."""

from __future__ import annotations

from typing import Any

from prodml_magics.actions.optimize import variant_file
from prodml_magics.actions.register import enter
from prodml_magics.actions.workspace import Workspace
from prodml_magics.contract.samples import read_samples
from prodml_magics.inference.session import open_session
from prodml_magics.wire.routes import MODEL_FILES

__all__ = ["as_version", "known_version"]


def as_version(workspace: Workspace, name: str, version: int, variant: str) -> int:
    """The version that serves `variant` of `version`; registered when it is first asked for."""
    known = known_version(workspace, name, version, variant)
    if known is not None:
        return known
    from prodml_magics.registry.samples import make_samples

    model = workspace.registry.variant(name, version, variant_file(variant))
    workspace.files(name, version)
    folder = workspace.folder(name, version)
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != MODEL_FILES["onnx"]}
    files[MODEL_FILES["onnx"]] = model
    if "samples.json" in files:
        session = open_session(model, device="cpu")
        files["samples.json"] = make_samples(session, read_samples(files["samples.json"]).inputs)
    entry = _registered(workspace, name, version)
    made = workspace.registry.log_version(
        name,
        files,
        contract=workspace.contract(name, version),
        metrics=entry.get("metrics", {}),
        tags={"prodml.variant": variant, "prodml.variant_of": str(version)},
        description=f"{variant} of version {version}",
    )
    digests = workspace.fetch(name, made)
    payload = {"sha256": digests, "metrics": entry.get("metrics", {}), "foreign": bool(entry.get("foreign"))}
    enter(workspace, name, {"version": made, **payload, "variant": {"of": version, "name": variant}})
    return made


def known_version(workspace: Workspace, name: str, version: int, variant: str) -> int | None:
    """The version that serves it already; none before it was asked for."""
    for event in workspace.ledger.events(name):
        if event.kind == "register" and event.payload.get("variant") == {"of": version, "name": variant}:
            return int(event.payload["version"])
    return None


def _registered(workspace: Workspace, name: str, version: int) -> dict[str, Any]:
    found = [event.payload for event in workspace.ledger.events(name) if event.kind == "register"]
    return next((payload for payload in found if payload["version"] == version), {})
