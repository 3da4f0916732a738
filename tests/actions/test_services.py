"""Talking to gateway and controller: whoever else sits on their ports is never taken for them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, TCPServer

import pytest
from homes import go_live, workspace_at

from prodml_magics.actions.doctor import doctor
from prodml_magics.actions.services import Services
from prodml_magics.actions.status import status
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import Unavailable
from prodml_magics.storage.runtime import write_runtime
from prodml_magics.wire.requests import Doctor, Status
from prodml_magics.wire.routes import VersionFiles
from prodml_magics.wire.runtime import Runtime, Service


@contextmanager
def serving(handler: type[BaseRequestHandler], server: type[TCPServer]) -> Iterator[int]:
    with server(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield running.server_address[1]
        finally:
            running.shutdown()
            thread.join()


class Page(BaseHTTPRequestHandler):
    """Some web page on every path."""

    code, body = 200, b"<html>hello</html>"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(self.code)
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        return None


class Broken(Page):
    code, body = 500, b"oops"


class Missing(Page):
    code, body = 404, b"<html>not found</html>"


class Json(Page):
    code, body = 200, json.dumps({"status": "fine"}).encode()


class Forbidden(Page):
    code, body = 401, json.dumps({"error": "token"}).encode()


class Shell(BaseRequestHandler):
    """Something that does not speak HTTP."""

    def handle(self) -> None:
        self.request.recv(1024)
        self.request.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")


@pytest.mark.parametrize("handler", [Page, Broken, Missing, Json, Forbidden, Shell])
def test_a_stranger_on_the_port_of_a_stale_runtime_file_is_not_our_gateway(
    workspace: Workspace, handler: type[BaseRequestHandler]
) -> None:
    go_live(workspace, 1)
    with serving(handler, HTTPServer if issubclass(handler, Page) else TCPServer) as port:
        here = Service(url=f"http://127.0.0.1:{port}")
        write_runtime(workspace.home / "runtime.json", Runtime(token="old", gateway=here, controller=here))
        services = Services(workspace)
        assert (services.gateway(), services.controller(), services.sync(), services.drain()) == (None, None, None, None)
        report = status(workspace, Status()).record
        assert (report.gateway.state, report.controller.state, report.models[0].live) == ("down", "down", 1)
        with pytest.raises(Unavailable) as caught:
            services.hold("cancer", VersionFiles(1, "models/cancer/1", "a", "b"))
        assert str(caught.value).isprintable() and "; " in str(caught.value)
        port_check = next(check for check in doctor(workspace, Doctor()).record.checks if check.name == "port")
        assert (port_check.state, port_check.remedy) == ("problem", "prodml up --port PORT")


def test_nobody_on_the_port_and_no_file_at_all_are_down(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path / "h")
    assert Services(workspace).gateway() is None and Services(workspace).url() is None
    workspace.make_home()
    nobody = Service(url="http://127.0.0.1:1")
    write_runtime(workspace.home / "runtime.json", Runtime(token="old", gateway=nobody, controller=nobody))
    assert Services(workspace).gateway() is None
    checks = {check.name: check for check in doctor(workspace, Doctor()).record.checks}
    assert (checks["port"].state, checks["services"].found) == ("ok", "not running; `prodml up` starts them")


def test_the_doctor_names_what_is_wrong_with_its_remedy_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = doctor(workspace_at(tmp_path / "file" / "h"), Doctor())
    checks = {check.name: check for check in result.record.checks}
    assert (checks["home"].state, checks["home"].remedy) == ("problem", "set PRODML_HOME to a folder that can")
    assert {
        "python",
        "numpy",
        "onnxruntime",
        "gpu",
        "home",
        "disk",
        "ledger",
        "lake",
        "mlflow",
        "services",
        "port",
    } <= checks.keys()
    assert checks["ledger"].state == checks["port"].state == "ok"
    assert result.title.endswith("found") and "set PRODML_HOME" in str(result)
