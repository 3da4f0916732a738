"""Homes with registered versions and real services, for tests of actions and doors."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from versions import Placed, place, training_rows

from prodml_magics.actions.services import Services
from prodml_magics.actions.switch import switch
from prodml_magics.actions.up import down
from prodml_magics.actions.workspace import Workspace
from prodml_magics.clock import SystemClock
from prodml_magics.contract.schema import Contract
from prodml_magics.rollouts.blue_green import promoted
from prodml_magics.stats.drift import prepare, to_arrow
from prodml_magics.wire.requests import Down


def workspace_at(home: Path) -> Workspace:
    """A workspace with nothing taken from the environment of the test run."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PRODML", "MLFLOW"))}
    return Workspace(home, actor="ann@laptop (test)", clock=SystemClock(), environment=environment)


def add_version(
    workspace: Workspace, version: int, *, name: str = "cancer", c: float = 1.0, profile: bool = True, **burden: Any
) -> Placed:
    """Lay down a version as `register` leaves it: files in the home and an entry in the ledger. No MLflow involved."""
    workspace.make_home()
    placed = place(workspace.home, name, version, c=c, **burden)
    folder = workspace.home / placed.files.folder
    if profile:
        (folder / "profile.arrow").write_bytes(_profile(placed.model, placed.contract))
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    workspace.ledger.append(
        kind="register",
        model=name,
        expected=workspace.ledger.revision(name),
        payload={"version": version, "sha256": digests, "metrics": {}},
        at=workspace.clock.now(),
        actor=workspace.actor,
    )
    return placed


@lru_cache
def _profile(model: Any, contract: Contract) -> bytes:
    """The profile of the training rows and of the answers of `model` to them; made once for each model."""
    rows = training_rows()
    columns = {column.name: rows[:, index] for index, column in enumerate(contract.columns)}
    outputs = {"label": model.predict(rows).astype(str)}
    return to_arrow(prepare({**columns, **outputs}, whole=True, extras={"outputs": ["label"]}))


def go_live(workspace: Workspace, version: int, *, name: str = "cancer", cause: str = "") -> None:
    """Enter a deployment into the ledger, as `deploy` does, while nothing runs."""
    before = workspace.route(name)
    switch(workspace, before, promoted(before, workspace.files(name, version)), kind="deploy", cause=cause)


@contextmanager
def services(workspace: Workspace, port: int | None = None) -> Iterator[Services]:
    """Gateway and controller of a home, stopped at the end whatever happened."""
    found = Services(workspace)
    try:
        found.up(port)
        yield found
    finally:
        down(workspace, Down())
        if workspace.has_ledger():
            workspace.ledger.close()


def wait_for(condition: Callable[[], Any], seconds: float = 20.0) -> float:
    """Wait until `condition` holds; returns after how many seconds it did."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"not within {seconds} s: {condition}")
        time.sleep(0.01)
    return time.monotonic() - began


def post(url: str, body: Any, headers: dict[str, str] | None = None, *, timeout: float = 10.0) -> tuple[int, Any]:
    """One POST over a connection of its own."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=timeout)
    try:
        connection.request("POST", where.path, json.dumps(body), headers or {})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def answers(url: str) -> bool:
    """Whether the model is ready to answer; asks without patience, so that waiting measures time well."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=0.1)
    try:
        connection.request("GET", where.path + "/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def infer_body(rows: np.ndarray, request_id: str = "") -> dict[str, Any]:
    """An inference request with one JSON tensor."""
    tensor = {"name": "input", "shape": list(rows.shape), "datatype": "FP32", "data": rows.ravel().tolist()}
    return {"inputs": [tensor], "id": request_id}


class Load:
    """Clients that send one-row requests as fast as they are answered, and remember which were acknowledged."""

    def __init__(
        self, url: str, rows: Sequence[Any] | np.ndarray, *, clients: int = 4, body: Callable[[Any, str], Any] | None = None
    ) -> None:
        """`body` makes a request of one of `rows` and its id; by itself of a row of numbers."""
        self._body = body or (lambda row, request_id: infer_body(row[None], request_id))
        self.acknowledged: list[str] = []
        self.answered: dict[str, str] = {}
        """By request id, the version that answered."""
        self.refused: list[tuple[int, str]] = []
        self.broken = 0
        self.versions: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(url, rows, number)) for number in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _client(self, url: str, rows: Sequence[Any] | np.ndarray, number: int) -> None:
        where = urlsplit(url)
        count = 0
        while not self._stop.is_set():
            connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
            try:
                while not self._stop.is_set():
                    count += 1
                    index = count % (len(rows) - 1)
                    body = json.dumps(self._body(rows[index], f"{number}-{count}"))
                    connection.request("POST", where.path + "/infer", body)
                    self._note(connection.getresponse(), f"{number}-{count}")
            except (OSError, http.client.HTTPException):
                self.broken += 1
                time.sleep(0.005)
            finally:
                connection.close()

    def _note(self, response: http.client.HTTPResponse, request_id: str) -> None:
        body = json.loads(response.read())
        if response.status == 200:
            self.acknowledged.append(request_id)
            self.versions.append(body["model_version"])
            self.answered[request_id] = body["model_version"]
        else:
            self.refused.append((response.status, body["error"]))
