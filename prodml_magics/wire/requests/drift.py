"""What may be asked of drift."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from prodml_magics.wire.requests.base import Request, flag, positional

__all__ = ["Drift"]


class Drift(Request, frozen=True):
    """Compare what a model is served with what it was trained on."""

    model: Annotated[
        Any, positional("model, as NAME; or a reference frame", "NAME", completes="model", reference=True, beside="current")
    ]
    current: Annotated[Any, positional("frame to compare with the reference frame", "FRAME", reference=True)] = None
    window: Annotated[str, flag("the latest stretch of time, such as 30m, 1h, 7d", "DURATION")] = ""
    last: Annotated[Annotated[int, Meta(ge=1)] | None, flag("the latest rows", "ROWS")] = None
    since: Annotated[str, flag("from this moment on, ISO 8601", "TIME")] = ""
    until: Annotated[str, flag("up to this moment, ISO 8601", "TIME")] = ""
    arm: Annotated[
        Literal["served", "live", "shadow", "direct"],
        flag("whose rows: served is all live traffic, direct are requests that named a version"),
    ] = "served"
    against: Annotated[
        str,
        flag(
            "what to compare with: reference (the training rows), previous (as long, just before), a stretch such as 7d that "
            "ends where the window begins, SINCE/UNTIL, or the training rows of NAME@V",
            "WHAT",
        ),
    ] = "reference"
    same_hour: Annotated[
        bool,
        flag(
            "compare with the same hours of the week before (UTC), so that day and night are no drift: of the four weeks before the "
            "window, or of the earlier rows that --against names"
        ),
    ] = False
    columns: Annotated[tuple[str, ...], flag("only these columns", "COLUMN")] = ()
    method: Annotated[
        tuple[str, ...],
        flag("decide by these statistics, such as wasserstein_iqr, psi, chi2 or mmd; any name lists all", "NAME"),
    ] = ()
    by: Annotated[str, flag("look at each value, or quarter, of this column of its own", "COLUMN")] = ""
    train: Annotated[
        Any,
        flag(
            "training rows to build the version's profile from, where it was registered without them or elsewhere; kept in the home",
            "X",
            reference=True,
        ),
    ] = None
    embed: Annotated[
        Any,
        flag(
            "compare texts as vectors too: a function of a list of texts that gives an array [texts, numbers], or MODULE:FUNCTION",
            "FUNCTION",
            reference=True,
        ),
    ] = None
    tolerance: Annotated[
        Annotated[float, Meta(ge=0, lt=1)] | None,
        flag(
            "harmless effect: KS distance, total variation, or the first --method (default: what the reference itself shows, or 0.1)",
            "SHARE",
        ),
    ] = None
    alpha: Annotated[float, Meta(gt=0, lt=1), flag("false discovery rate over all columns", "SHARE")] = 0.05
    fdr: Annotated[Literal["bh", "by", "ebh"], flag("control of it: by and ebh hold however columns depend on each other")] = "bh"
    exact: Annotated[
        bool, flag("keep every value of the reference (frame, earlier rows, --train) instead of a sketch of 100,000")
    ] = False
    sequential: Annotated[
        bool,
        flag(
            "watch for ever instead of comparing a window: alarms about the hours served, learnt from the first four weeks of them "
            "(or --against SINCE/UNTIL), with --alpha false ones a day"
        ),
    ] = False
    source: Annotated[
        Literal["auto", "rows", "sketches"],
        flag(
            "what a window of served rows is read from: its rows, or the sketches that the controller keeps of every five minutes "
            "(auto: sketches where there are more than 100,000 rows)"
        ),
    ] = "auto"
    memory: Annotated[
        float, Meta(gt=0), flag("memory in GiB beyond which Parquet files are streamed through sketches, unless --exact", "GIB")
    ] = 4.0
    device: Annotated[Literal["auto", "cpu", "gpu"], flag("where to compute")] = "auto"
