"""How the requests of a model are taken: what ``%deploy`` says of it, kept in the route until it is changed."""

from __future__ import annotations

import math

from msgspec.structs import replace

from prodml_magics.actions.sizes import parse_size
from prodml_magics.actions.windows import parse_duration, parse_milliseconds
from prodml_magics.contract.columns import reader_of
from prodml_magics.contract.default import default_row
from prodml_magics.contract.mask import check_mask
from prodml_magics.contract.schema import Contract
from prodml_magics.errors import Unavailable, UsageError
from prodml_magics.inference.providers import missing_for_gpu
from prodml_magics.wire.requests import Deploy
from prodml_magics.wire.routes import Serving, VersionFiles

__all__ = ["refuse_missing_gpu", "serving_of"]

_LEAST_KEPT = 86_400.0


def serving_of(request: Deploy, before: Serving, contract: Contract | None = None) -> Serving:
    """`before` with what `request` changes in it; `contract` is that of the version, which masked columns must be in."""
    after = before
    if request.slo_p99:
        objective = None if request.slo_p99 == "none" else parse_milliseconds(request.slo_p99, "--slo-p99")
        after = replace(after, slo_p99_ms=objective)
    if request.max_batch is not None:
        after = replace(after, batch_rows=request.max_batch)
    if request.mask:
        after = replace(after, mask=() if request.mask == ("none",) else request.mask)
    if request.cache:
        after = replace(after, cache_bytes=None if request.cache == "none" else parse_size(request.cache, "--cache"))
    if request.cache_ttl:
        if after.cache_bytes is None:
            raise UsageError("--cache-ttl is for a model with a cache; give --cache 64MB as well")
        after = replace(after, cache_seconds=parse_duration(request.cache_ttl).total_seconds())
    if request.fsync:
        after = replace(after, fsync_ms=_fsync(request.fsync))
    if request.on_log_failure is not None:
        after = replace(after, on_log_failure=request.on_log_failure)
    if request.log_sample is not None:
        after = replace(after, log_sample=request.log_sample)
    if request.keep:
        after = replace(after, keep_seconds=None if request.keep == "none" else _kept(request.keep))
    if request.default:
        after = replace(after, default="" if request.default == "none" else request.default)
    if request.idle:
        after = replace(after, idle_seconds=None if request.idle == "none" else parse_duration(request.idle).total_seconds())
    if request.device is not None:
        after = replace(after, device=request.device)
    if request.gpu_memory:
        after = replace(after, gpu_bytes=None if request.gpu_memory == "none" else parse_size(request.gpu_memory, "--gpu-memory"))
        if after.gpu_bytes is not None and after.device == "cpu":
            raise UsageError("--gpu-memory is for a model on a GPU; leave it out, or give --device gpu as well")
    if request.output_range:
        after = replace(after, output_range=None if request.output_range == "none" else _range(request.output_range))
    if request.key:
        after = replace(after, key="" if request.key == "none" else request.key)
    if contract is not None and after.key:
        reader_of(contract, after.key, "--key")
    if contract is not None:
        check_mask(contract, after.mask, request.model)
        if after.default:
            default_row(contract, after.default)
    return after


def refuse_missing_gpu(request: Deploy, after: Serving, files: VersionFiles) -> None:
    """`Unavailable` where `request` asks for a GPU that the version cannot have here: what the gateway would say, said before."""
    wanted = request.device in ("gpu", "tensorrt") or (request.gpu_memory and after.gpu_bytes is not None)
    if not wanted:
        return
    device = "gpu" if after.device == "auto" else after.device
    if files.flavor == "python":
        raise Unavailable(f"a Python model runs where its own code says, not on --device {device}; give --device auto")
    missing = missing_for_gpu(device)
    if missing:
        raise Unavailable(f"no GPU to serve from: {missing}")


def _range(text: str) -> tuple[float, float]:
    """Lowest and highest number of the outputs."""
    low, colon, high = text.partition(":")
    try:
        found = float(low or "-inf"), float(high or "inf")
    except ValueError:
        found = math.nan, math.nan
    if not colon or not found[0] < found[1]:
        raise UsageError(f"--output-range {text!r} is no range; write LOW:HIGH, such as 0:1 or 0: for no upper end")
    return found


def _fsync(text: str) -> float | None:
    """Milliseconds until answered rows are on the disk."""
    if text in ("none", "always"):
        return None if text == "none" else 0.0
    try:
        return parse_milliseconds(text, "--fsync")
    except UsageError as error:
        raise UsageError(f"--fsync {text!r} is not a time; write always, none, or a time such as 100ms or 1s") from error


def _kept(text: str) -> float:
    """Seconds for which rows are kept."""
    seconds = parse_duration(text).total_seconds()
    if seconds < _LEAST_KEPT:
        raise UsageError(f"--keep {text} is less than a day; rows are deleted by whole days, so write 1d or more")
    return seconds
