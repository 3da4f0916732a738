"""%optimize: variants of a version's ONNX file, measured beside it and kept with it; %deploy --variant serves one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from prodml_magics.actions.deploy import resolve
from prodml_magics.actions.register import features_and_target
from prodml_magics.actions.results import OptimizeResult
from prodml_magics.actions.workspace import Workspace
from prodml_magics.contract.datatypes import dtype_of
from prodml_magics.contract.encode import encode_columns
from prodml_magics.contract.schema import Contract
from prodml_magics.errors import Unsupported, UsageError
from prodml_magics.inference.variants import CALIBRATION_ROWS, VARIANTS, VariantName
from prodml_magics.wire.names import parse_reference
from prodml_magics.wire.requests import Optimize
from prodml_magics.wire.results import OptimizeRecord
from prodml_magics.wire.routes import MODEL_FILES

__all__ = ["optimize", "profile_rows", "variant_file"]


def variant_file(variant: str) -> str:
    """The name of a variant's file beside the version's own."""
    return f"model.{variant}.onnx"


def optimize(workspace: Workspace, request: Optimize) -> OptimizeResult:
    """Make and measure the variants of a version; those that drop no more than they may are put beside it."""
    from prodml_magics.registry.frames import target_of
    from prodml_magics.registry.variants import choose, measured_variants

    started = workspace.clock.monotonic()
    reference, max_drop = parse_reference(request.model), _share(request.max_drop)
    version = resolve(workspace, reference, default="candidate")
    files = workspace.files(reference.name, version)
    if files.flavor != "onnx":
        raise Unsupported(f"{reference.name}@{version} is served as Python, which has no variants; register it without --trust")
    rows = features_and_target(request.test)
    if rows is None:
        raise UsageError("rows are needed to calibrate and judge by; add --test X y")
    contract = workspace.contract(reference.name, version)
    tensors = _tensors(contract, rows[0])
    target = target_of(rows[1]) if len(rows) == 2 else None
    model = (workspace.home / files.folder / MODEL_FILES["onnx"]).read_bytes()
    calibration = profile_rows(workspace.home / files.folder / "profile.arrow", contract)
    variants = measured_variants(model, contract, tensors, target, _wanted(request), max_drop, calibration)
    record = OptimizeRecord(
        model=reference.name,
        version=version,
        rows=len(next(iter(tensors.values()))),
        max_drop=max_drop,
        calibrated_on=_calibrated_on(calibration),
        variants=tuple(variant.record for variant in variants),
        chosen=choose(variants),
        seconds=workspace.clock.monotonic() - started,
    )
    kept = {variant_file(variant.record.name): variant.model for variant in variants if variant.record.kept}
    if kept:
        report = msgspec.json.format(msgspec.json.encode(record), indent=1)
        workspace.registry.add_variants(reference.name, version, {**kept, "variants.json": report})
    return OptimizeResult(record)


def _tensors(contract: Contract, rows: Any) -> dict[str, np.ndarray]:
    from prodml_magics.registry.frames import columns_of

    if contract.columns:
        return encode_columns(contract, columns_of(rows, [column.name for column in contract.columns]))
    if len(contract.inputs) != 1:
        raise Unsupported("the model has several inputs without named columns, which one table of rows cannot fill")
    (only,) = contract.inputs
    return {only.name: np.ascontiguousarray(np.asarray(rows), dtype_of(only.datatype))}


def profile_rows(path: Path, contract: Contract) -> dict[str, np.ndarray] | None:
    """Training rows that the profile kept, as wire tensors; none unless they are 256, and every column is a number among them."""
    from prodml_magics.stats.drift import from_arrow
    from prodml_magics.stats.drift.reference import NumericColumn

    if not contract.columns or not path.exists():
        return None
    profile = from_arrow(path.read_bytes())
    known = {column.name: profile.columns.get(column.name) for column in contract.columns}
    numbers = {name: column for name, column in known.items() if isinstance(column, NumericColumn) and not column.unit}
    if profile.rows is None or len(numbers) < len(known):
        return None
    kept = dict(zip(profile.rows.names, profile.rows.values.T, strict=True))
    if any(name not in kept and column.sd != 0 for name, column in numbers.items()):
        return None  # masked, or one column too many
    rows = {
        name: kept[name] * column.sd + column.mean if name in kept else np.full(len(profile.rows.values), column.mean)
        for name, column in numbers.items()
    }
    whole = np.all([np.isfinite(values) for values in rows.values()], axis=0)
    if whole.sum() < CALIBRATION_ROWS:
        return None
    return encode_columns(contract, {name: values[whole] for name, values in rows.items()})


def _calibrated_on(calibration: dict[str, np.ndarray] | None) -> str:
    if calibration is None:
        return "the rows of --test: the profile holds no rows of all inputs"
    return f"{min(2 * CALIBRATION_ROWS, len(next(iter(calibration.values()))))} training rows of the profile"


def _wanted(request: Optimize) -> tuple[VariantName, ...]:
    chosen: tuple[VariantName, ...] = ("graph",)
    if request.int8:
        chosen += ("int8", "int8-static")
    if request.fp16:
        chosen += ("fp16",)
    return VARIANTS if request.auto or len(chosen) == 1 else chosen


def _share(text: str) -> float:
    """0.5% or 0.005 as a share."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = float("nan")
    if not 0 <= value < 1:
        raise UsageError(f"--max-drop {text!r} is no share; write 0.5%")
    return value
