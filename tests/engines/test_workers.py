"""Several workers on one port: they share the load, change their routes together, and are replaced one by one."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import polars as pl
import pytest
from homes import Load, add_version, answers, infer_body, post, wait_for, workspace_at

from prodml_magics.actions.deploy import deploy
from prodml_magics.actions.rollback import rollback
from prodml_magics.actions.services import Services
from prodml_magics.actions.status import status
from prodml_magics.actions.up import down, up
from prodml_magics.engines.endings import ended
from prodml_magics.engines.watch import Watch
from prodml_magics.errors import Conflict
from prodml_magics.wire.requests import Deploy, Down, Rollback, Status, Up


def inferences(url: str) -> int:
    """Rows that both versions have answered, as the statistics extension has it."""
    with urllib.request.urlopen(f"{url}/stats", timeout=10) as response:
        return sum(each["inference_count"] for each in json.load(response)["model_stats"])


def scrape(url: str) -> dict[str, float]:
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    connection.request("GET", "/metrics")
    page = connection.getresponse().read().decode()
    connection.close()
    return {name: float(value) for name, value in re.findall(r"^prodml_rows_total\{(.*)\} (\S+)", page, re.M)}


def test_two_workers_share_a_port_and_survive_each_other(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path / ".prodml")
    placed = add_version(workspace, 1)
    add_version(workspace, 2, c=0.01)
    services = Services(workspace)
    try:
        up(workspace, Up(workers=2))
        with pytest.raises(Conflict, match="already runs with 2 workers"):
            up(workspace, Up(workers=3))
        url = str(deploy(workspace, Deploy(model="cancer@1")).url)
        pids = status(workspace, Status()).record.gateway.pids
        assert os.getpriority(os.PRIO_PROCESS, services.controller().pid) > 0, "it stands back where the workers need every core"
        assert len(set(pids)) == 2
        runtime = services.runtime()
        assert runtime is not None and [worker.pid for worker in runtime.gateway.workers] == list(pids)

        with Load(url, placed.rows, clients=8) as load:
            wait_for(lambda: len(load.acknowledged) > 400)
            started = time.monotonic()
            deploy(workspace, Deploy(model="cancer@2"))
            switched = time.monotonic() - started
            # When the action returns every worker has changed: whichever answers now says version 2.
            for _ in range(30):
                assert post(url + "/infer", infer_body(placed.rows[:1]))[1]["model_version"] == "2"
            rollback(workspace, Rollback(model="cancer"))
            assert post(url + "/infer", infer_body(placed.rows[:1]))[1]["model_version"] == "1"
            os.kill(pids[1], signal.SIGKILL)
            wait_for(lambda: len(set(status(workspace, Status()).record.gateway.pids) - {pids[1]}) == 2, 10)
            seen = len(load.acknowledged)
            wait_for(lambda: len(load.acknowledged) > seen + 200)
        assert switched < 10
        assert load.refused == []
        assert load.broken <= 8, "only connections of the worker that was killed"
        answered = len(load.acknowledged) + 31
        report = status(workspace, Status()).record
        assert report.models[0].traffic is not None

        assert services.drain().problems == {}
        ids = pl.read_delta(str(workspace.home / "lake" / "requests" / "cancer"))["request_id"].to_list()
        assert set(load.acknowledged) <= set(ids)
        rows = sum(scrape(url).values())
        assert scrape(url) == scrape(url), "whichever worker is asked tells of both"
        assert 0 < rows <= answered + 8
        assert len({inferences(url) for _ in range(8)}) == 1, "so do the statistics, over either worker's connections"
        traffic = status(workspace, Status()).record.models[0].traffic
        assert traffic is not None and traffic.rows == rows == inferences(url)
    finally:
        down(workspace, Down())
        workspace.close()
    assert all(ended(pid, 0.0) for pid in pids)


def test_fewer_workers_end_those_that_are_left_over(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path / ".prodml")
    add_version(workspace, 1)
    try:
        up(workspace, Up(workers=2))
        url = str(deploy(workspace, Deploy(model="cancer@1")).url)
        runtime = Services(workspace).runtime()
        assert runtime is not None and runtime.supervisor is not None
        pids = [worker.pid for worker in runtime.gateway.workers]
        os.kill(runtime.supervisor, signal.SIGKILL)
        wait_for(lambda: ended(runtime.supervisor, 0.0))
        up(workspace, Up())  # as many as last time: the living ones are taken over
        assert sorted(status(workspace, Status()).record.gateway.pids) == sorted(pids)
        down(workspace, Down())
        up(workspace, Up(workers=1))
        wait_for(lambda: answers(url))
        assert len(status(workspace, Status()).record.gateway.pids) == 1
    finally:
        down(workspace, Down())
        workspace.close()


class _Health:
    """A server on loopback that answers, or accepts and says nothing."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        self.well = True
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        self.held = []
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            if self.well:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                connection.close()
            else:
                self.held.append(connection)


def test_a_worker_that_hangs_is_killed_and_one_that_is_slow_to_start_is_not() -> None:
    health = _Health()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        worker = SimpleNamespace(own_url=health.url, pid=process.pid, role="gateway")
        watch = Watch([worker], threading.Event(), interval=0, patience=0.1, most_bytes=1 << 40)
        health.well = False
        for _ in range(5):
            watch.look(worker)
        assert process.poll() is None, "it has never answered: it may still be loading"
        health.well = True
        watch.look(worker)
        health.well = False
        for _ in range(2):
            watch.look(worker)
        health.well = True
        watch.look(worker)
        assert process.poll() is None
        health.well = False
        for _ in range(3):
            watch.look(worker)
        assert process.wait(5) == -signal.SIGKILL
    health.listening.close()


def test_a_worker_that_leaks_is_asked_to_end() -> None:
    health = _Health()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        worker = SimpleNamespace(own_url=health.url, pid=process.pid, role="gateway")
        Watch([worker], threading.Event(), patience=1, most_bytes=1 << 40).look(worker)
        assert process.poll() is None
        Watch([worker], threading.Event(), patience=1, most_bytes=1 << 10).look(worker)
        assert process.wait(5) == -signal.SIGTERM
    health.listening.close()
