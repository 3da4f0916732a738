"""Calls to MLflow whose failures become our errors, and which try again while another process holds the SQLite file."""

from __future__ import annotations

import logging
import os
import random
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prodml_magics.errors import NotFound, ProdmlError, Unavailable

__all__ = ["Ask", "load_mlflow", "quiet", "retried"]

_TRIES, _FIRST_WAIT_S = 8, 0.05
_MISSING = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")


def load_mlflow() -> Any:
    """The mlflow module, its usage reports switched off before it is imported: they are its only network try."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    with quiet():
        import mlflow
        import mlflow.onnx
    return mlflow


@contextmanager
def quiet() -> Iterator[None]:
    """MLflow's progress notes, and the warnings that it and SQLAlchemy give about one another, kept out of the notebook.

    They are about deprecated calls inside MLflow (SQLAlchemy 2.1 warns of its ``noload``), which no user can change.
    """
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class Ask:
    """Calls methods of an MlflowClient by name, again while the store is locked."""

    def __init__(self, mlflow: Any, client: Any, tracking_uri: str) -> None:
        self._mlflow, self._client, self._uri = mlflow, client, tracking_uri

    def __call__(self, method: str, *arguments: Any, **options: Any) -> Any:
        with _current(self._uri):
            return again(lambda: getattr(self._client, method)(*arguments, **options))

    def unless_there(self, method: str, *arguments: Any) -> None:
        """Call a method that makes something; that it exists already is fine."""
        try:
            self(method, *arguments)
        except self._mlflow.exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def artifact(self, uri: str, folder: str) -> str:
        """Download one artifact below `folder` and return its path."""
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103  mlflow wants text
        with _current(self._uri):
            return str(again(lambda: self._mlflow.artifacts.download_artifacts(uri, dst_path=folder, tracking_uri=self._uri)))


@contextmanager
def _current(tracking_uri: str) -> Iterator[None]:
    """MLflow's process-wide store for one call, then the user's again: a SQL store looks ``models:/`` up in that one."""
    from mlflow.tracking._tracking_service.utils import _use_tracking_uri

    before = os.environ.get("MLFLOW_TRACKING_URI")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # one bar for each file would flood a notebook
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # a server's addresses, at the end of each run
    try:
        with _use_tracking_uri(tracking_uri):
            yield
    finally:
        # mlflow forgets a URI that only the environment gave, and writes the one that it remembers there
        if before is None:
            os.environ.pop("MLFLOW_TRACKING_URI", None)
        else:
            os.environ["MLFLOW_TRACKING_URI"] = before


@contextmanager
def retried(tracking_uri: str) -> Iterator[Ask]:
    """An `Ask` for the store at `tracking_uri`; MLflow's and SQLAlchemy's exceptions leave as `NotFound` or `Unavailable`."""
    try:
        mlflow = load_mlflow()
        client = again(lambda: mlflow.MlflowClient(tracking_uri, tracking_uri))
        yield Ask(mlflow, client, tracking_uri)
    except ProdmlError:
        raise
    except Exception as error:
        raise translated(error, tracking_uri) from error


def again(call: Callable[[], Any]) -> Any:
    """The result of `call`, tried up to 8 times over 13 s while SQLite says that its file is locked."""
    for attempt in range(_TRIES):
        try:
            with quiet():
                return call()
        except Exception as error:
            if attempt == _TRIES - 1 or not _locked(error):
                raise
            time.sleep(_FIRST_WAIT_S * 2**attempt * random.uniform(0.5, 1.5))
    raise AssertionError("unreachable: the last attempt returns or raises")


def translated(error: Exception, tracking_uri: str) -> ProdmlError:
    """What MLflow raised, as one line of ours; an error that is no answer of the store is raised as it is."""
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
    code = getattr(error, "error_code", "")
    if code in _MISSING:
        return NotFound(f"MLflow has no such thing: {line}")
    if isinstance(error, ModuleNotFoundError):
        return Unavailable(f"MLflow at {_without_password(tracking_uri)} needs {error.name}; pip install {error.name}")
    module = type(error).__module__.partition(".")[0]
    if module in ("mlflow", "sqlalchemy", "sqlite3", "requests", "urllib3") or isinstance(error, OSError):
        return Unavailable(f"MLflow at {_without_password(tracking_uri)} cannot be used: {line}; check it with prodml doctor")
    raise error


def _locked(error: Exception) -> bool:
    return "database is locked" in str(error) or "database table is locked" in str(error)


def _without_password(uri: str) -> str:
    scheme, separator, rest = uri.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
