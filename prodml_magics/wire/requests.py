"""One frozen record per verb. Magic parser, completions, CLI options, REST bodies and TypeScript derive from it.

A field's ``Meta.description`` is its help text. ``extra`` says how people type it: ``positional``, ``metavar``, and
``reference`` for values that are Python objects in a notebook and paths on a command line.
"""

from __future__ import annotations

import operator
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta

from prodml_magics.errors import UsageError

__all__ = [
    "BOUNDS",
    "VERBS",
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
    "Whatif",
]


def _positional(description: str, metavar: str, **extra: Any) -> Meta:
    return Meta(description=description, extra={"positional": True, "metavar": metavar, **extra})


def _flag(description: str, metavar: str = "", **extra: Any) -> Meta:
    return Meta(description=description, extra={"metavar": metavar, **extra})


_MODEL = _positional("model, as NAME", "NAME", completes="model")
_WHY = _flag("why, in your words; kept in the ledger", "TEXT")


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person asks for: the name of the subclass in lower case is the verb, its docstring the help."""

    @classmethod
    def verb(cls) -> str:
        return cls.__name__.lower()

    def __post_init__(self) -> None:
        """`UsageError` for a number outside of the bounds of its field, in the words of the parsers, whoever builds the record."""
        for name, bounds in _bounds_of(type(self)):
            value = getattr(self, name)
            if isinstance(value, int | float):
                broken = next((each for each in bounds if not _HOLDS[each[0]](value, each[1])), None)
                if broken is not None:
                    verb = self.verb()
                    raise UsageError(f"{verb}: {name} must be {BOUNDS[broken[0]]} {float(broken[1]):g}; see help({verb})")


BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
"""How people say them."""
_HOLDS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


@cache
def _bounds_of(request: type[Request]) -> tuple[tuple[str, tuple[tuple[str, float], ...]], ...]:
    """The fields of a record that have bounds, with each as a sign and a number."""
    found = []
    for name, hint in get_type_hints(request, include_extras=True).items():
        metas = [meta for each in (hint, *get_args(get_args(hint)[0])) for meta in getattr(each, "__metadata__", ())]
        bounds = [
            (sign, getattr(meta, word)) for meta in metas for word, sign in _SIGNS.items() if getattr(meta, word) is not None
        ]
        if bounds:
            found.append((name, tuple(bounds)))
    return tuple(found)


class Register(Request, frozen=True):
    """Convert a model to ONNX, prove that it answers the same, and record it as a new version in MLflow."""

    model: Annotated[
        Any,
        _positional(
            "fitted scikit-learn, XGBoost or LightGBM model or pipeline, a PyTorch module, a JAX function (jitted, or with its "
            "parameters as a pair), or an .onnx file; more with --trust",
            "MODEL",
            reference=True,
        ),
    ]
    name: Annotated[str, _flag("name of the registered model", "NAME", completes="model")]
    train: Annotated[tuple[Any, ...], _flag("training features, and target", "X [y]", reference=True, most=2)] = ()
    test: Annotated[tuple[Any, ...], _flag("held-out features, and target", "X [y]", reference=True, most=2)] = ()
    task: Annotated[Literal["auto", "classification", "regression", "other"], _flag("what the model does")] = "auto"
    description: Annotated[str, _flag("text for the model version", "TEXT")] = ""
    mask: Annotated[
        tuple[str, ...],
        _flag(
            "columns of whose training values the profile keeps a coarse sketch only (those of %deploy --mask are added)",
            "COLUMN",
        ),
    ] = ()
    key: Annotated[
        str, _flag("column whose value says whose row it is, such as user_id: what canaries split the traffic by", "COLUMN")
    ] = ""
    trust: Annotated[
        bool,
        _flag(
            "also take what has no exact ONNX form: other estimators, functions over frames, pickled files; they are served as "
            "Python by a process of their own. Only for models that you made: a pickle can run any code"
        ),
    ] = False


class Deploy(Request, frozen=True):
    """Load a version beside the live one, check its answers, and switch traffic to it: all at once, or by a canary ladder."""

    model: Annotated[
        str, _positional("model, as NAME or NAME@VERSION (default: NAME@candidate)", "NAME[@V]", completes="version")
    ]
    canary: Annotated[
        str | None, _flag("shares of the traffic in percent, rising, such as 1,5,25,50,100 (default: all at once)", "PERCENTS")
    ] = None
    blue_green: Annotated[
        bool, _flag("all traffic at once, the version before kept warm for instant return (default, unless there is a canary)")
    ] = False
    bake: Annotated[
        str,
        _flag(
            "how long it is watched once it is live, and the least time in a step of a canary (default: 10m for a canary, else 5m; "
            "none, without a canary: it stays live whatever it answers)",
            "DURATION",
        ),
    ] = ""
    min_rows: Annotated[int, Meta(ge=1), _flag("requests that the canary must have answered in a step", "N")] = 200
    guard: Annotated[
        str,
        _flag(
            "what must not get worse (default: error_rate,latency_p99); also timeout_rate, fallback_rate, latency_p50, _p75, _p90, "
            "_p95; of a canary rejected (requests that break the contract), latency_mean, on labels accuracy, log_loss, "
            "metric:NAME:LOW..HIGH, metric:NAME, on answers score, class:NAME",
            "GUARDS",
        ),
    ] = ""
    margin: Annotated[str, _flag("by how much it may (default: error_rate=0.005,latency_p99=20%)", "MARGINS")] = ""
    alpha: Annotated[
        float, Meta(gt=0, lt=1), _flag("rate of wrong verdicts that is allowed, however often one looks", "RATE")
    ] = 0.05
    deadline: Annotated[str, _flag("a step that is undecided for longer is held for a person", "DURATION")] = "24h"
    segment: Annotated[
        str, _flag("split only requests whose rows all have this value; the rest is left to the live version", "COLUMN=VALUE")
    ] = ""
    key: Annotated[
        str,
        _flag(
            "column whose value says whose row it is: canaries send the same value to the same version (kept until it is changed; none "
            "takes it away). Without one the header x-prodml-key does",
            "COLUMN",
        ),
    ] = ""
    slo_p99: Annotated[
        str,
        _flag(
            "latency objective such as 20ms; requests that would take longer are refused with 503, and batches stay small enough "
            "(kept until it is changed; none takes it away)",
            "LATENCY",
        ),
    ] = ""
    max_batch: Annotated[
        Annotated[int, Meta(ge=1, le=65_536)] | None, _flag("rows of one run of the model (default: 1024)", "ROWS")
    ] = None
    mask: Annotated[
        tuple[str, ...],
        _flag(
            "columns whose values must not be written to the request log (kept until it is changed; none takes it away)", "COLUMN"
        ),
    ] = ()
    cache: Annotated[
        str,
        _flag(
            "answer rows that were answered before from memory, at most so much of it, such as 64MB; for models that answer the "
            "same to the same (kept until it is changed; none takes it away)",
            "SIZE",
        ),
    ] = ""
    cache_ttl: Annotated[str, _flag("how long an answer is kept (default: 10m)", "DURATION")] = ""
    fsync: Annotated[
        str,
        _flag(
            "when answered rows are written to the disk itself: always (before the reply leaves), after a time such as 100ms, or none "
            "(default: when the system does so). The end of a process loses nothing either way; a power cut may lose rows answered "
            "within that time and one write of the disk, and with none those of the last half minute or so",
            "WHEN",
        ),
    ] = ""
    on_log_failure: Annotated[
        Literal["refuse", "serve"] | None,
        _flag("when the request log cannot be written: refuse requests with 503 (default), or serve them and count what is lost"),
    ] = None
    log_sample: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | None,
        _flag(
            "share of the requests that are logged (default: 1); counts are of all. Beside a canary or a shadow all are logged",
            "SHARE",
        ),
    ] = None
    keep: Annotated[
        str, _flag("delete logged rows that are older, to the day, such as 30d; none keeps them (default)", "DURATION")
    ] = ""
    baseline: Annotated[
        str,
        _flag(
            "version that answers when neither the live one nor the one before it can, such as a rule that cannot fail (kept until it "
            "is changed; none takes it away)",
            "VERSION",
        ),
    ] = ""
    default: Annotated[
        str,
        _flag(
            "what is answered when no version can: a class or a number, or JSON of all outputs of a row (kept until it is changed; "
            "none takes it away)",
            "JSON",
        ),
    ] = ""
    idle: Annotated[
        str,
        _flag(
            "put it out of memory when nobody has asked it for so long, such as 30m; the next request loads it again, and waits for "
            "that (kept until it is changed; none takes it away)",
            "DURATION",
        ),
    ] = ""
    device: Annotated[
        Literal["auto", "cpu", "gpu", "tensorrt"] | None,
        _flag(
            "where it runs: auto is the GPU where there is one that has all operators of the model, and else the CPU; gpu and tensorrt "
            "are refused where they cannot be had (kept until it is changed)"
        ),
    ] = None
    gpu_memory: Annotated[
        str,
        _flag(
            "the most that each version may take of the GPU's memory, such as 2GB (kept until it is changed; none takes it away)",
            "SIZE",
        ),
    ] = ""
    output_range: Annotated[
        str,
        _flag(
            "lowest and highest number that the model may answer; others count as failures, of which ten in twenty keep requests from "
            "the version (kept until it is changed; none takes it away)",
            "LOW:HIGH",
        ),
    ] = ""
    variant: Annotated[
        Literal["graph", "int8", "int8-static", "fp16"] | None,
        _flag("the variant that %optimize kept, as a version of its own"),
    ] = None
    isolate: Annotated[
        bool,
        _flag(
            "let the canary answer from a process of its own until it is live, so that a crash costs its own requests alone (always so "
            "for .onnx files of others)"
        ),
    ] = False
    shadow_first: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        _flag(
            "mirror so many rows to it first, and go on only when it answers no worse (a canary also while that is open)", "ROWS"
        ),
    ] = None
    dry_run: Annotated[bool, _flag("say what would change, and change nothing")] = False
    why: Annotated[str, _WHY] = ""


class Optimize(Request, frozen=True):
    """Make smaller and faster variants of a network's ONNX file, measure them, and keep those that answer well enough."""

    model: Annotated[str, _positional("version, as NAME@VERSION (default: NAME@candidate)", "NAME[@V]", completes="version")]
    test: Annotated[
        tuple[Any, ...],
        _flag("at least 256 rows to calibrate and judge by, and their target", "X [y]", reference=True, most=2),
    ] = ()
    int8: Annotated[bool, _flag("INT8 only: of the weights, and with calibrated activations")] = False
    fp16: Annotated[bool, _flag("FP16 only, for GPUs: on a CPU it is seldom faster")] = False
    auto: Annotated[bool, _flag("all of them (default)")] = False
    max_drop: Annotated[
        str, _flag("what a variant may lose of its accuracy, or of labels that stay the same, such as 0.5%", "SHARE")
    ] = "0.5%"


class Rollout(Request, frozen=True):
    """See how a canary fares and what it waits for, or steer it by hand."""

    model: Annotated[str, _MODEL]
    pause: Annotated[bool, _flag("stay at this share until it is resumed; harm still takes it back")] = False
    resume: Annotated[bool, _flag("go on after a pause or a hold")] = False
    step: Annotated[bool, _flag("go one step on now, whatever the guards say")] = False
    promote: Annotated[bool, _flag("make it live now, whatever the guards say")] = False
    abort: Annotated[bool, _flag("put all traffic back on the version before")] = False
    why: Annotated[str, _WHY] = ""


class Plan(Request, frozen=True):
    """How long a ladder needs, at the traffic of the last days, until its guards can see an effect."""

    model: Annotated[str, _MODEL]
    canary: Annotated[str, _flag("shares of the traffic in percent, rising", "PERCENTS")] = "1,5,25,50,100"
    effect: Annotated[str, _flag("what must be seen, as margins are written (default: the margins)", "EFFECTS")] = ""
    power: Annotated[float, Meta(gt=0, lt=1), _flag("probability with which it must be seen", "SHARE")] = 0.8
    bake: Annotated[str, _flag("the least time in a step", "DURATION")] = "10m"
    min_rows: Annotated[int, Meta(ge=1), _flag("requests that the canary must have answered in a step", "N")] = 200
    guard: Annotated[str, _flag("what must not get worse (default: error_rate,latency_p99)", "GUARDS")] = ""
    margin: Annotated[str, _flag("by how much it may (default: error_rate=0.005,latency_p99=20%)", "MARGINS")] = ""
    alpha: Annotated[float, Meta(gt=0, lt=1), _flag("rate of wrong verdicts that is allowed", "RATE")] = 0.05
    deadline: Annotated[str, _flag("how long a step may take", "DURATION")] = "24h"
    window: Annotated[str, _flag("the stretch of traffic to plan with", "DURATION")] = "1d"
    simulate: Annotated[
        Annotated[int, Meta(ge=20, le=10_000)] | None,
        _flag(
            "also simulate so many rollouts in each step with the very tests, all guards together, for the final plan (seconds a step)",
            "RUNS",
        ),
    ] = None
    strict: Annotated[bool, _flag("refuse a ladder that leaves a step before it can have seen the effect")] = False


class Whatif(Request, frozen=True):
    """Decide the past rollouts of a model anew, under another ladder or other guards, from what was recorded of them."""

    model: Annotated[str, _MODEL]
    canary: Annotated[str, _flag("shares of the traffic in percent, rising (default: as each was)", "PERCENTS")] = ""
    guard: Annotated[str, _flag("what must not get worse (default: as it was)", "GUARDS")] = ""
    margin: Annotated[str, _flag("by how much it may, such as error_rate=0.01 (default: as it was)", "MARGINS")] = ""
    alpha: Annotated[
        Annotated[float, Meta(gt=0, lt=1)] | None, _flag("rate of wrong verdicts that is allowed (default: as it was)", "RATE")
    ] = None
    min_rows: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        _flag("requests that the canary must have answered in a step (default: as it was)", "N"),
    ] = None
    bake: Annotated[str, _flag("the least time in a step (default: as it was)", "DURATION")] = ""
    deadline: Annotated[str, _flag("a step that is undecided for longer is held (default: as it was)", "DURATION")] = ""
    limit: Annotated[int, Meta(ge=1, le=100), _flag("how many of the latest rollouts", "N")] = 10


class Replay(Request, frozen=True):
    """Answer recorded requests anew with another version, offline, and compare with what was answered."""

    model: Annotated[
        str, _positional("version to try, as NAME@VERSION (default: NAME@candidate)", "NAME[@V]", completes="version")
    ]
    window: Annotated[str, _flag("the latest stretch of recorded requests, such as 1h, 1d", "DURATION")] = "1d"
    speed: Annotated[str, _flag("max, or so many times as fast as they came, such as 10", "TIMES")] = "max"
    tolerance: Annotated[float, Meta(gt=0, lt=1), _flag("share of the rows on which it may answer otherwise", "SHARE")] = 0.02
    margin: Annotated[float, Meta(gt=0, lt=1), _flag("by how much the mean score may move, as a share of its range", "SHARE")] = (
        0.02
    )
    alpha: Annotated[float, Meta(gt=0, lt=1), _flag("rate of wrong verdicts that is allowed", "RATE")] = 0.05
    device: Annotated[Literal["auto", "cpu", "gpu"], _flag("where to run it")] = "auto"


class Labels(Request, frozen=True):
    """Tell what the truth was about answered rows, or see how many rows have a label."""

    model: Annotated[str, _MODEL]
    frame: Annotated[
        Any,
        _positional(
            "frame with the columns request_id and label, and where there are: row (within its request, default 0), labelled_at, and "
            "metrics: any further columns of numbers, such as revenue, that canaries may be guarded by (metric:revenue)",
            "FRAME",
            reference=True,
        ),
    ] = None


class Rollback(Request, frozen=True):
    """Put all traffic back on the previous version."""

    model: Annotated[str, _MODEL]
    why: Annotated[str, _WHY] = ""


class Undeploy(Request, frozen=True):
    """Stop serving a model once the requests in flight are answered."""

    model: Annotated[str, _MODEL]
    why: Annotated[str, _WHY] = ""


class Shadow(Request, frozen=True):
    """Mirror live traffic to a version that answers nobody, and compare what it would have said."""

    model: Annotated[str, _positional("NAME@VERSION to start, NAME to see the comparison", "NAME[@V]", completes="version")]
    sample: Annotated[float, Meta(gt=0, le=1), _flag("share of the live rows to mirror, above 0 and up to 1", "SHARE")] = 1.0
    isolate: Annotated[
        bool,
        _flag("let it run in a process of its own, so that a crash costs nothing else (always so for .onnx files of others)"),
    ] = False
    rows: Annotated[Annotated[int, Meta(ge=1)] | None, _flag("end it by itself after so many mirrored rows", "N")] = None
    time: Annotated[str, _flag("end it by itself after such a time", "DURATION")] = ""
    promote_if: Annotated[
        Literal["never", "no-worse"],
        _flag("make it live when it is shown to be no worse: at its end, or as soon as that is shown where it has none"),
    ] = "never"
    tolerance: Annotated[float, Meta(gt=0, lt=1), _flag("share of the rows on which it may answer otherwise", "SHARE")] = 0.02
    margin: Annotated[float, Meta(gt=0, lt=1), _flag("by how much the mean score may move, as a share of its range", "SHARE")] = (
        0.02
    )
    alpha: Annotated[float, Meta(gt=0, lt=1), _flag("rate of wrong verdicts that is allowed", "RATE")] = 0.05
    stop: Annotated[bool, _flag("end the shadow, or all of them where no version is named")] = False
    why: Annotated[str, _WHY] = ""


class Drift(Request, frozen=True):
    """Compare what a model is served with what it was trained on."""

    model: Annotated[
        Any, _positional("model, as NAME; or a reference frame", "NAME", completes="model", reference=True, beside="current")
    ]
    current: Annotated[Any, _positional("frame to compare with the reference frame", "FRAME", reference=True)] = None
    window: Annotated[str, _flag("the latest stretch of time, such as 30m, 1h, 7d", "DURATION")] = ""
    last: Annotated[Annotated[int, Meta(ge=1)] | None, _flag("the latest rows", "ROWS")] = None
    since: Annotated[str, _flag("from this moment on, ISO 8601", "TIME")] = ""
    until: Annotated[str, _flag("up to this moment, ISO 8601", "TIME")] = ""
    arm: Annotated[
        Literal["served", "live", "shadow", "direct"],
        _flag("whose rows: served is all live traffic, direct are requests that named a version"),
    ] = "served"
    against: Annotated[
        str,
        _flag(
            "what to compare with: reference (the training rows), previous (as long, just before), a stretch such as 7d that "
            "ends where the window begins, SINCE/UNTIL, or the training rows of NAME@V",
            "WHAT",
        ),
    ] = "reference"
    same_hour: Annotated[
        bool,
        _flag(
            "compare with the same hours of the week before (UTC), so that day and night are no drift: of the four weeks before the "
            "window, or of the earlier rows that --against names"
        ),
    ] = False
    columns: Annotated[tuple[str, ...], _flag("only these columns", "COLUMN")] = ()
    method: Annotated[
        tuple[str, ...],
        _flag("decide by these statistics, such as wasserstein_iqr, psi, chi2 or mmd; any name lists all", "NAME"),
    ] = ()
    by: Annotated[str, _flag("look at each value, or quarter, of this column of its own", "COLUMN")] = ""
    train: Annotated[
        Any,
        _flag(
            "training rows to build the version's profile from, where it was registered without them or elsewhere; kept in the home",
            "X",
            reference=True,
        ),
    ] = None
    embed: Annotated[
        Any,
        _flag(
            "compare texts as vectors too: a function of a list of texts that gives an array [texts, numbers], or MODULE:FUNCTION",
            "FUNCTION",
            reference=True,
        ),
    ] = None
    tolerance: Annotated[
        Annotated[float, Meta(ge=0, lt=1)] | None,
        _flag(
            "harmless effect: KS distance, total variation, or the first --method (default: what the reference itself shows, or 0.1)",
            "SHARE",
        ),
    ] = None
    alpha: Annotated[float, Meta(gt=0, lt=1), _flag("false discovery rate over all columns", "SHARE")] = 0.05
    fdr: Annotated[Literal["bh", "by", "ebh"], _flag("control of it: by and ebh hold however columns depend on each other")] = (
        "bh"
    )
    exact: Annotated[bool, _flag("keep every value of the reference instead of a sample of 100,000")] = False
    sequential: Annotated[
        bool,
        _flag(
            "watch for ever instead of comparing a window: alarms about the hours served, learnt from the first four weeks of them "
            "(or --against SINCE/UNTIL), with --alpha false ones a day"
        ),
    ] = False
    source: Annotated[
        Literal["auto", "rows", "sketches"],
        _flag(
            "what a window of served rows is read from: its rows, or the sketches that the controller keeps of every five minutes "
            "(auto: sketches where there are more than 100,000 rows)"
        ),
    ] = "auto"
    memory: Annotated[
        float, Meta(gt=0), _flag("memory in GiB beyond which Parquet files are streamed through sketches, unless --exact", "GIB")
    ] = 4.0
    device: Annotated[Literal["auto", "cpu", "gpu"], _flag("where to compute")] = "auto"


class Timeline(Request, frozen=True):
    """What was live when, by whom and why."""

    model: Annotated[str, _positional("model, as NAME (default: all)", "NAME", completes="model")] = ""
    limit: Annotated[int, Meta(ge=1, le=10_000), _flag("how many of the latest entries", "N")] = 50


class Undo(Request, frozen=True):
    """Undo an entry of the ledger, the latest one by default."""

    id: Annotated[
        Annotated[int, Meta(ge=1)] | None, _positional("entry to undo (default: the latest that can be undone)", "ID")
    ] = None
    dry_run: Annotated[bool, _flag("say what would change, and change nothing")] = False
    why: Annotated[str, _WHY] = ""


class Status(Request, frozen=True):
    """What is running and who answers for which model."""


class Up(Request, frozen=True):
    """Start gateway and controller."""

    port: Annotated[
        Annotated[int, Meta(ge=1, le=65_535)] | None,
        _flag("port of the gateway (default: a free one, then the same again)", "PORT"),
    ] = None
    workers: Annotated[
        Annotated[int, Meta(ge=1, le=256)] | None,
        _flag(
            "processes that answer requests (default: as many as last time, at first one for each GPU, else for two cores)", "N"
        ),
    ] = None
    host: Annotated[
        str,
        _flag(
            "address on which programs reach the gateway (default: as last time, at first 127.0.0.1); control routes stay on loopback",
            "ADDRESS",
        ),
    ] = ""
    tls_cert: Annotated[
        str, _flag("certificate (PEM) to speak TLS with, over HTTP and gRPC (kept for the next time; none takes it away)", "FILE")
    ] = ""
    tls_key: Annotated[str, _flag("its private key (PEM)", "FILE")] = ""
    foreground: Annotated[bool, _flag("stay in the foreground, as systemd or a container wants it", doors=("cli",))] = False


class Token(Request, frozen=True):
    """Make, renew or revoke a bearer token of the gateway, or list them. Secrets go into files that only you can read, never here."""

    name: Annotated[str, _positional("name of the token, such as that of a team (default: list all)", "NAME")] = ""
    scope: Annotated[
        tuple[str, ...],
        _flag("what it is for: predict (every model), predict:NAME, admin (control routes)", "SCOPE"),
    ] = ()
    renew: Annotated[bool, _flag("make a new secret; the former one counts until --grace is over")] = False
    grace: Annotated[str, _flag("how long that is; 0 for not at all", "DURATION")] = "10m"
    revoke: Annotated[bool, _flag("take it away, at once")] = False


class Down(Request, frozen=True):
    """Stop gateway and controller after the requests in flight are answered."""


class Doctor(Request, frozen=True):
    """Check packages, GPU, ports, stores and the home, each with its remedy."""


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
