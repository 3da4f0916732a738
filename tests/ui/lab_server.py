"""A real JupyterLab in a process of its own, with folders of its own, on a free port."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PANEL = REPOSITORY / "prodml_magics" / "labextension"

_READY_WITHIN = 90.0
"""Seconds; a warm start takes four."""


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab."""

    base: str
    """Base URL of the server, without a slash at the end."""
    token: str
    root: Path
    """Folder in which it runs, and which it shows."""
    log: Path

    def url(self, path: str = "lab?reset") -> str:
        joint = "&" if "?" in path else "?"
        return f"{self.base}/{path}{joint}token={self.token}"


@contextmanager
def running_lab(
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    options: tuple[str, ...] = (),
    root: Path | None = None,
    base_url: str = "/user/ana/",
) -> Iterator[Lab]:
    """Run JupyterLab below `folder`, as behind a hub, with the panel of this tree; ends its whole process group."""
    root = root or folder / "root"
    root.mkdir(parents=True, exist_ok=True)
    port, token = _free_port(), secrets.token_hex(16)
    write_settings(folder, "@jupyterlab/apputils-extension", "notification", fetchNews="false", checkForUpdates=False)
    lab = Lab(f"http://127.0.0.1:{port}{base_url}".rstrip("/"), token, root, folder / "lab.log")
    command = [sys.executable, "-m", "jupyterlab", *_options(folder, root, port, token, base_url), *options]
    with lab.log.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=root, env=_environment(folder, environment or {}), stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait(lab, process)
            yield lab
        finally:
            _end(process)


def write_settings(folder: Path, package: str, schema: str, **values: object) -> None:
    """Write settings of the user as JupyterLab's settings editor would; `folder` is the one given to `running_lab`."""
    path = folder / "settings" / package / f"{schema}.jupyterlab-settings"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


def _options(folder: Path, root: Path, port: int, token: str, base_url: str) -> list[str]:
    extensions = folder / "labextensions"
    extensions.mkdir()
    (extensions / "prodml-magics").symlink_to(PANEL)
    return [
        "--no-browser",
        "--allow-root",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.base_url={base_url}",
        f"--ServerApp.root_dir={root}",
        f"--IdentityProvider.token={token}",
        "--ServerApp.jpserver_extensions={'prodml_magics.lab': True}",
        f"--LabServerApp.extra_labextensions_path={extensions}",
        f"--LabApp.extra_labextensions_path={extensions}",
        f"--LabApp.user_settings_dir={folder / 'settings'}",
        f"--LabApp.workspaces_dir={folder / 'workspaces'}",
    ]


def _environment(folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "JPY_", "PRODML_", "MLFLOW_"))}
    folders = {
        name: str(folder / name.lower())
        for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    }
    for path in folders.values():
        Path(path).mkdir(exist_ok=True)
    paths = [str(REPOSITORY), str(REPOSITORY / "tests")]
    return {**kept, **folders, "JUPYTER_NO_CONFIG": "", "PYTHONPATH": os.pathsep.join(paths), **more}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait(lab: Lab, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _READY_WITHIN
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"JupyterLab ended with {process.returncode}:\n{lab.log.read_text()}")
        try:
            urllib.request.urlopen(lab.url("api/status"), timeout=2).close()
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.05)
    raise RuntimeError(f"JupyterLab was not ready within {_READY_WITHIN:.0f} s:\n{lab.log.read_text()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
