"""%register: convert, prove, measure, record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from prodml_magics.actions.contracts import contract_change
from prodml_magics.actions.frames import read_frame
from prodml_magics.actions.profiling import Profiling
from prodml_magics.actions.results import RegisterResult
from prodml_magics.actions.workspace import Workspace
from prodml_magics.contract.columns import reader_of
from prodml_magics.contract.mask import check_mask
from prodml_magics.contract.nearest import did_you_mean
from prodml_magics.contract.schema import Contract, write_contract
from prodml_magics.errors import Conflict, InvalidInput
from prodml_magics.wire.names import check_name
from prodml_magics.wire.requests import Register
from prodml_magics.wire.results import ContractChange, RegisterRecord
from prodml_magics.wire.routes import MODEL_FILES

if TYPE_CHECKING:
    from prodml_magics.registry.build import Candidate
    from prodml_magics.registry.converters import ChildConverter

__all__ = ["enter", "features_and_target", "register"]

_TRIES = 5


def register(
    workspace: Workspace,
    request: Register,
    *,
    cells: Sequence[str] = (),
    converter: ChildConverter | None = None,
    progress: Callable[[str], None] | None = None,
) -> RegisterResult:
    """Record a new version with proof that its ONNX form answers the same.

    `cells` are what the notebook ran so far; `progress` is told what is begun. `converter` is this process's own unless one is given.
    """
    from prodml_magics.registry.build import unseen
    from prodml_magics.registry.converters import shared_converter

    check_name(request.name)
    workspace.check_home()
    converter = converter or shared_converter()
    if isinstance(request.model, str | Path) and Path(request.model).suffix != ".onnx":
        converter.start()  # it loads what it needs while this process loads the model
    # MLflow's import and the making of its store cost as much as the conversion, which another process does
    converter.meanwhile = workspace.registry.warm
    return _register(workspace, request, cells, converter, progress or unseen)


def _register(
    workspace: Workspace,
    request: Register,
    cells: Sequence[str],
    converter: ChildConverter,
    progress: Callable[[str], None],
) -> RegisterResult:
    from prodml_magics.registry.build import build

    started = workspace.clock.monotonic()
    with Profiling(partial(_masked, workspace, request), exact=request.exact) as profiling:
        candidate = build(
            request.model,
            train=features_and_target(request.train),
            test=features_and_target(request.test),
            task=request.task,
            trust=request.trust,
            cells=cells,
            root=Path.cwd(),
            converter=converter,
            progress=progress,
            observer=profiling,
        )
        if request.key:
            reader_of(candidate.contract, request.key, "--key")
            keyed = msgspec.structs.replace(candidate.contract, key=request.key)
            candidate = msgspec.structs.replace(candidate, contract=keyed)
        change = contract_change(workspace, request.name, candidate.contract)
        progress("profiling")
        files = artifacts(candidate, profiling.arrow(candidate.metrics, candidate.importance))
    progress("writing to MLflow")
    version = workspace.registry.log_version(
        request.name,
        files,
        contract=candidate.contract,
        metrics=candidate.metrics,
        tags={"prodml.task": candidate.contract.task} | ({"prodml.compatibility": change.compatibility} if change else {}),
        description=request.description,
    )
    # The alias moves only once the files are at hand: a full disk must not leave a candidate that cannot be deployed.
    digests = workspace.fetch(request.name, version)
    workspace.registry.set_alias(request.name, "candidate", version)
    _enter(workspace, request.name, version, digests, candidate, change)
    return RegisterResult(_record(request, version, candidate, change, workspace.clock.monotonic() - started))


def _masked(workspace: Workspace, request: Register, contract: Contract) -> frozenset[str]:
    """Columns that the command masks, and those that the model's route does."""
    check_mask(contract, request.mask, request.name)
    known = {column.name for column in contract.columns}
    return frozenset(request.mask) | (known & set(workspace.route(request.name).serving.mask))


def features_and_target(values: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Features, and the target where one is given; either may be a file, and the target a column of the features by name."""
    if not values:
        return None
    features, *targets = values
    if isinstance(features, str | Path):
        features = read_frame(Path(features))
    if not targets or not isinstance(targets[0], str | Path):
        return (features, *targets)
    return _with_target(features, str(targets[0]))


def _with_target(features: Any, target: str) -> tuple[Any, Any]:
    columns = [str(column) for column in getattr(features, "columns", ())]
    if target in columns:
        rest = features.drop(columns=target) if hasattr(features, "iloc") else features.drop(target)
        return rest, features[target].to_numpy()
    if not Path(target).suffix:
        raise InvalidInput(f"there is no column {target!r} for the target; {did_you_mean(target, columns)}")
    frame = read_frame(Path(target))
    if len(frame.columns) != 1:
        raise InvalidInput(f"{target} has {len(frame.columns)} columns; give a file with the target alone, or name its column")
    return features, frame[frame.columns[0]].to_numpy()


def artifacts(candidate: Candidate, profile: bytes | None) -> dict[str, bytes]:
    """The files of a version; what needs rows, `profile` among it, is absent where none were given."""
    files = {
        MODEL_FILES[candidate.flavor]: candidate.model,
        "contract.json": write_contract(candidate.contract),
        "parity.json": _json(candidate.parity),
        "lineage.json": _json(candidate.lineage),
    }
    if candidate.samples:
        files["samples.json"] = candidate.samples
    if profile is not None:
        files["profile.arrow"] = profile
    return files


def _json(record: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(record), indent=1)


def _enter(
    workspace: Workspace,
    name: str,
    version: int,
    digests: dict[str, str],
    candidate: Candidate,
    change: ContractChange | None,
) -> None:
    payload = {
        "version": version,
        "sha256": digests,
        "metrics": candidate.metrics,
        "foreign": candidate.foreign,
        "contract": msgspec.to_builtins(change),
    }
    enter(workspace, name, payload)


def enter(workspace: Workspace, name: str, payload: dict[str, Any]) -> None:
    """Write a registration into the ledger; it rests on no earlier entry, so a lost race is only tried again."""
    for attempt in range(_TRIES):
        try:
            workspace.ledger.append(
                kind="register",
                model=name,
                expected=workspace.ledger.revision(name),
                payload=payload,
                at=workspace.clock.now(),
                actor=workspace.actor,
            )
        except Conflict:
            if attempt == _TRIES - 1:
                raise
        else:
            return


def _record(
    request: Register, version: int, candidate: Candidate, change: ContractChange | None, seconds: float
) -> RegisterRecord:
    return RegisterRecord(
        name=request.name,
        version=version,
        task=candidate.contract.task,
        metrics=candidate.metrics,
        importance=candidate.importance,
        parity=msgspec.to_builtins(candidate.parity),
        contract=change,
        flavor=candidate.flavor,
        size_bytes=len(candidate.model),
        seconds=seconds,
        warnings=(*_broken(request.name, change), *candidate.warnings),
    )


def _broken(name: str, change: ContractChange | None) -> tuple[str, ...]:
    if change is None or not change.breaks:
        return ()
    more = f" (and {len(change.breaks) - 1} more)" if len(change.breaks) > 1 else ""
    return (f"who asks {name}@{change.version} cannot ask this version: {change.breaks[0]}{more}",)
