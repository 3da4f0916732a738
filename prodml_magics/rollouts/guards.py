"""What may be guarded, and how a margin is written."""

from __future__ import annotations

import math

from msgspec.structs import replace

from prodml_magics.contract.nearest import did_you_mean
from prodml_magics.errors import UsageError
from prodml_magics.rollouts.metrics import is_metric, metric_of
from prodml_magics.wire.rollouts import Guard

__all__ = [
    "DEFAULT_GUARDS",
    "GUARDS",
    "bound_of",
    "class_of",
    "is_class",
    "is_duration",
    "is_latency",
    "is_mean",
    "is_metric",
    "is_rate",
    "is_score",
    "label_guard",
    "level_of",
    "lower_is_better",
    "margin_text",
    "needs_control",
    "range_of",
    "read_guards",
]

_REJECTED = "rejected"
_RATES = {name: Guard(name, 0.005, False) for name in ("error_rate", "timeout_rate", "fallback_rate", _REJECTED)}
_LATENCIES = {f"latency_p{percent}": Guard(f"latency_p{percent}", 0.2, True) for percent in (50, 75, 90, 95, 99)}
_DURATIONS = {"latency_mean": Guard("latency_mean", 0.2, True)}
_MEANS = {"accuracy": Guard("accuracy", 0.02, False), "log_loss": Guard("log_loss", 0.05, False)}
_SCORES = {"score": Guard("score", 0.02, False)}
_CLASS = "class:"
_OF_CLASS = Guard(_CLASS, 0.5, True)
_OF_METRIC = 0.02
"""Of its range, the default margin of a metric that has one."""
_OF_MONEY = 0.05
"""Of the live version's mean, that of a metric without a range."""

_RANGES: dict[str, tuple[float, float]] = {"accuracy": (0.0, 1.0), "log_loss": (0.0, 3.0)}
"""Of what is averaged: the log loss (nats) is clipped, at a probability of 5 %."""

GUARDS: dict[str, Guard] = _RATES | _LATENCIES | _DURATIONS | _MEANS | _SCORES
"""Every guard with its default margin, but those on a class (``class:fraud``), of which there are as many as classes."""

DEFAULT_GUARDS = ("error_rate", "latency_p99")


def is_latency(metric: str) -> bool:
    """Whether the guard counts slow requests rather than failed ones."""
    return metric in _LATENCIES


def is_duration(metric: str) -> bool:
    """Whether the guard averages the times of runs."""
    return metric in _DURATIONS


def is_mean(metric: str) -> bool:
    """Whether the guard averages over rows whose label, or whose metric, has come."""
    return metric in _MEANS or is_metric(metric)


def label_guard(metric: str) -> bool:
    """Whether the guard holds answers against labels."""
    return metric in _MEANS


def range_of(metric: str) -> tuple[float, float] | None:
    """The least and largest value of what a guard averages; none of a metric without bounds."""
    return metric_of(metric).range if is_metric(metric) else _RANGES[metric]


def bound_of(metric: str) -> float:
    """Largest difference between two values of what a guard averages; inf without bounds.

    >>> bound_of("accuracy"), bound_of("metric:revenue:0..100"), bound_of("metric:revenue")
    (1.0, 100.0, inf)
    """
    found = range_of(metric)
    return math.inf if found is None else found[1] - found[0]


def lower_is_better(metric: str) -> bool:
    """Whether a guard that averages wants the lower mean."""
    return metric_of(metric).lower if is_metric(metric) else metric == "log_loss"


def is_rate(metric: str) -> bool:
    """Whether the guard counts failed requests."""
    return metric in _RATES


def is_score(metric: str) -> bool:
    """Whether the guard averages a score that lies between 0 and 1."""
    return metric in _SCORES


def is_class(metric: str) -> bool:
    """Whether the guard counts the answers that say one class."""
    return metric.startswith(_CLASS)


def class_of(metric: str) -> str:
    """The class that a guard counts.

    >>> class_of("class:fraud")
    'fraud'
    """
    return metric.removeprefix(_CLASS)


def needs_control(metric: str) -> bool:
    """Whether the guard says nothing of a version that has none beside it; what is rejected is counted only beside another."""
    return metric == _REJECTED or not (is_rate(metric) or is_latency(metric))


def level_of(metric: str) -> float:
    """The quantile that a latency guard is about: 0.99 for ``latency_p99``."""
    return int(metric.removeprefix("latency_p")) / 100


def margin_text(guard: Guard) -> str:
    """The margin as people write it.

    >>> margin_text(Guard("error_rate", 0.005, False)), margin_text(Guard("latency_p99", 0.2, True))
    ('0.005', '20%')
    """
    return f"{guard.margin * 100:g}%" if guard.relative else f"{guard.margin:g}"


def read_guards(names: str, margins: str) -> tuple[Guard, ...]:
    """Guards from ``error_rate,latency_p99`` and margins from ``error_rate=0.005,latency_p99=20%``; empty texts mean the defaults.

    A margin names a metric by its column alone, or as the guard does: ``metric:revenue=2`` beside ``metric:revenue:0..100``.
    Raises `UsageError` for what cannot be meant.

    >>> [guard.metric for guard in read_guards("", "")]
    ['error_rate', 'latency_p99']
    """
    chosen = [_known(name.strip()).metric for name in names.split(",")] if names.strip() else list(DEFAULT_GUARDS)
    _refuse_repeated(chosen)
    given = dict(_margin(entry, chosen) for entry in margins.split(",")) if margins.strip() else {}
    for name in given:
        if name not in chosen:
            raise UsageError(f"there is a margin for {name}, which is not guarded; add it to --guard {','.join([*chosen, name])}")
    return tuple(given.get(name, _known(name)) for name in dict.fromkeys(chosen))


def _refuse_repeated(chosen: list[str]) -> None:
    """One guard on a column: two could ask for opposite things."""
    named: dict[str, str] = {}
    for name in filter(is_metric, chosen):
        other = named.setdefault(metric_of(name).column, name)
        if other != name:
            raise UsageError(f"{other} and {name} guard one column; leave one of them out")


def _known(name: str) -> Guard:
    """The guard of that name with its default margin."""
    if is_class(name) and class_of(name):
        return replace(_OF_CLASS, metric=name)
    if is_metric(name):
        found = metric_of(name)
        return Guard(found.text, _OF_METRIC * found.width, False) if found.range else Guard(found.text, _OF_MONEY, True)
    if name not in GUARDS:
        known = f"guards are {', '.join(GUARDS)}, class:NAME, metric:NAME:LOW..HIGH, metric:NAME"
        hint = did_you_mean(name, GUARDS)
        raise UsageError(f"{ascii(name)[:40]} is no guard; {f'{hint} ' if hint.endswith('?') else ''}{known}")
    return GUARDS[name]


def _meant(name: str, chosen: list[str]) -> str:
    """The guard that a margin is for: of a metric the one on its column."""
    if not is_metric(name) or name in chosen:
        return name
    column = metric_of(name).column
    return next((each for each in chosen if is_metric(each) and metric_of(each).column == column), name)


def _margin(entry: str, chosen: list[str]) -> tuple[str, Guard]:
    name, equals, text = (part.strip() for part in entry.partition("="))
    usual = _known(_meant(name, chosen))
    metric, relative = usual.metric, text.endswith("%")
    try:
        value = float(text.removesuffix("%")) / (100 if relative else 1)
    except ValueError:
        value = math.nan
    if usual.relative and value > 0 and not relative:
        raise UsageError(f"a margin of {metric} needs a unit: {text} of what; write {name}={margin_text(usual)}")
    if not usual.relative and not is_rate(metric) and value > 0 and relative:
        raise UsageError(f"a margin of {metric} is a difference, not {text}; write {name}={usual.margin:g}")
    if not equals or not 0 < value < _most(metric, relative):
        form = f"{metric}=20% or {metric}={usual.margin:g}" if is_rate(metric) else f"{name or metric}={margin_text(usual)}"
        raise UsageError(f"{ascii(entry)[:60]} is no margin; write {form}")
    return metric, Guard(metric, value, relative)


def _most(metric: str, relative: bool) -> float:
    """What a margin has to lie below."""
    if is_metric(metric):
        return 1.0 if relative else bound_of(metric)
    return 10.0 if relative else 1.0
