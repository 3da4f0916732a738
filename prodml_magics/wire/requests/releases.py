"""Verbs that change who answers."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from prodml_magics.wire.requests.base import MODEL, WHY, Request, flag, positional

__all__ = ["Deploy", "Rollback", "Shadow", "Undeploy"]


class Deploy(Request, frozen=True):
    """Load a version beside the live one, check its answers, and switch traffic to it: all at once, or by a canary ladder."""

    model: Annotated[str, positional("model, as NAME or NAME@VERSION (default: NAME@candidate)", "NAME[@V]", completes="version")]
    canary: Annotated[
        str | None, flag("shares of the traffic in percent, rising, such as 1,5,25,50,100 (default: all at once)", "PERCENTS")
    ] = None
    blue_green: Annotated[
        bool, flag("all traffic at once, the version before kept warm for instant return (default, unless there is a canary)")
    ] = False
    bake: Annotated[
        str,
        flag(
            "how long it is watched once it is live, and the least time in a step of a canary (default: 10m for a canary, else 5m; "
            "none, without a canary: it stays live whatever it answers)",
            "DURATION",
        ),
    ] = ""
    min_rows: Annotated[int, Meta(ge=1), flag("requests that the canary must have answered in a step", "N")] = 200
    guard: Annotated[
        str,
        flag(
            "what must not get worse (default: error_rate,latency_p99); also timeout_rate, fallback_rate, latency_p50, _p75, _p90, "
            "_p95; of a canary rejected (requests that break the contract), latency_mean, on labels accuracy, log_loss, "
            "metric:NAME:LOW..HIGH, metric:NAME, on answers score, class:NAME",
            "GUARDS",
        ),
    ] = ""
    margin: Annotated[str, flag("by how much it may (default: error_rate=0.005,latency_p99=20%)", "MARGINS")] = ""
    alpha: Annotated[float, Meta(gt=0, lt=1), flag("rate of wrong verdicts that is allowed, however often one looks", "RATE")] = (
        0.05
    )
    deadline: Annotated[str, flag("a step that is undecided for longer is held for a person", "DURATION")] = "24h"
    segment: Annotated[
        str, flag("split only requests whose rows all have this value; the rest is left to the live version", "COLUMN=VALUE")
    ] = ""
    key: Annotated[
        str,
        flag(
            "column whose value says whose row it is: canaries send the same value to the same version (kept until it is changed; none "
            "takes it away). Without one the header x-prodml-key does",
            "COLUMN",
        ),
    ] = ""
    slo_p99: Annotated[
        str,
        flag(
            "latency objective such as 20ms; requests that would take longer are refused with 503, and batches stay small enough "
            "(kept until it is changed; none takes it away)",
            "LATENCY",
        ),
    ] = ""
    max_batch: Annotated[
        Annotated[int, Meta(ge=1, le=65_536)] | None, flag("rows of one run of the model (default: 1024)", "ROWS")
    ] = None
    mask: Annotated[
        tuple[str, ...],
        flag(
            "columns whose values must not be written to the request log (kept until it is changed; none takes it away)", "COLUMN"
        ),
    ] = ()
    cache: Annotated[
        str,
        flag(
            "answer rows that were answered before from memory, at most so much of it, such as 64MB; for models that answer the "
            "same to the same (kept until it is changed; none takes it away)",
            "SIZE",
        ),
    ] = ""
    cache_ttl: Annotated[str, flag("how long an answer is kept (default: 10m)", "DURATION")] = ""
    fsync: Annotated[
        str,
        flag(
            "when answered rows are written to the disk itself: always (before the reply leaves), after a time such as 100ms, or none "
            "(default: when the system does so). The end of a process loses nothing either way; a power cut may lose rows answered "
            "within that time and one write of the disk, and with none those of the last half minute or so",
            "WHEN",
        ),
    ] = ""
    on_log_failure: Annotated[
        Literal["refuse", "serve"] | None,
        flag("when the request log cannot be written: refuse requests with 503 (default), or serve them and count what is lost"),
    ] = None
    log_sample: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | None,
        flag(
            "share of the requests that are logged (default: 1); counts are of all. Beside a canary or a shadow all are logged",
            "SHARE",
        ),
    ] = None
    keep: Annotated[
        str, flag("delete logged rows that are older, to the day, such as 30d; none keeps them (default)", "DURATION")
    ] = ""
    baseline: Annotated[
        str,
        flag(
            "version that answers when neither the live one nor the one before it can, such as a rule that cannot fail (kept until it "
            "is changed; none takes it away)",
            "VERSION",
        ),
    ] = ""
    default: Annotated[
        str,
        flag(
            "what is answered when no version can: a class or a number, or JSON of all outputs of a row (kept until it is changed; "
            "none takes it away)",
            "JSON",
        ),
    ] = ""
    idle: Annotated[
        str,
        flag(
            "put it out of memory when nobody has asked it for so long, such as 30m; the next request loads it again, and waits for "
            "that (kept until it is changed; none takes it away)",
            "DURATION",
        ),
    ] = ""
    device: Annotated[
        Literal["auto", "cpu", "gpu", "tensorrt"] | None,
        flag(
            "where it runs: auto is the GPU where there is one that has all operators of the model, and else the CPU; gpu and tensorrt "
            "are refused where they cannot be had (kept until it is changed)"
        ),
    ] = None
    gpu_memory: Annotated[
        str,
        flag(
            "the most that each version may take of the GPU's memory, such as 2GB (kept until it is changed; none takes it away)",
            "SIZE",
        ),
    ] = ""
    output_range: Annotated[
        str,
        flag(
            "lowest and highest number that the model may answer; others count as failures, of which ten in twenty keep requests from "
            "the version (kept until it is changed; none takes it away)",
            "LOW:HIGH",
        ),
    ] = ""
    variant: Annotated[
        Literal["graph", "int8", "int8-static", "fp16"] | None,
        flag("the variant that %optimize kept, as a version of its own"),
    ] = None
    isolate: Annotated[
        bool,
        flag(
            "let the canary answer from a process of its own until it is live, so that a crash costs its own requests alone (always so "
            "for .onnx files of others)"
        ),
    ] = False
    shadow_first: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        flag(
            "mirror so many rows to it first, and go on only when it answers no worse (a canary also while that is open)", "ROWS"
        ),
    ] = None
    dry_run: Annotated[bool, flag("say what would change, and change nothing")] = False
    why: Annotated[str, WHY] = ""


class Rollback(Request, frozen=True):
    """Put all traffic back on the previous version."""

    model: Annotated[str, MODEL]
    why: Annotated[str, WHY] = ""


class Undeploy(Request, frozen=True):
    """Stop serving a model once the requests in flight are answered."""

    model: Annotated[str, MODEL]
    why: Annotated[str, WHY] = ""


class Shadow(Request, frozen=True):
    """Mirror live traffic to a version that answers nobody, and compare what it would have said."""

    model: Annotated[str, positional("NAME@VERSION to start, NAME to see the comparison", "NAME[@V]", completes="version")]
    sample: Annotated[float, Meta(gt=0, le=1), flag("share of the live rows to mirror, above 0 and up to 1", "SHARE")] = 1.0
    isolate: Annotated[
        bool,
        flag(
            "let it run in a process of its own, so that a crash costs nothing else (always so for .onnx files of others, and where "
            "a run takes longer than 3 ms)"
        ),
    ] = False
    rows: Annotated[Annotated[int, Meta(ge=1)] | None, flag("end it by itself after so many mirrored rows", "N")] = None
    time: Annotated[str, flag("end it by itself after such a time", "DURATION")] = ""
    promote_if: Annotated[
        Literal["never", "no-worse"],
        flag("make it live when it is shown to be no worse: at its end, or as soon as that is shown where it has none"),
    ] = "never"
    tolerance: Annotated[float, Meta(gt=0, lt=1), flag("share of the rows on which it may answer otherwise", "SHARE")] = 0.02
    margin: Annotated[float, Meta(gt=0, lt=1), flag("by how much the mean score may move, as a share of its range", "SHARE")] = (
        0.02
    )
    alpha: Annotated[float, Meta(gt=0, lt=1), flag("rate of wrong verdicts that is allowed", "RATE")] = 0.05
    stop: Annotated[bool, flag("end the shadow, or all of them where no version is named")] = False
    why: Annotated[str, WHY] = ""
