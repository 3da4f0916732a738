"""%doctor: packages, GPU, ports, stores and the home, each with what to do about it."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from prodml_magics.actions.results import DoctorResult
from prodml_magics.actions.services import Services
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import ProdmlError
from prodml_magics.wire.requests import Doctor
from prodml_magics.wire.results import Check, DoctorRecord

__all__ = ["doctor"]

_PACKAGES = ("numpy", "polars", "jax", "onnx", "skl2onnx", "mlflow", "deltalake", "sqlalchemy", "uvicorn", "altair", "jupyterlab")
_LOW_BYTES = 1 << 30


def doctor(workspace: Workspace, _request: Doctor) -> DoctorResult:
    """Look at everything that has to work; a failing check never hides the others."""
    checks: list[Check] = [_python(), *(_package(name) for name in _PACKAGES), _onnxruntime()]
    for name, look in _LOOKS.items():
        try:
            checks.append(look(workspace))
        except ProdmlError as error:
            found, _, remedy = str(error).partition("; ")
            checks.append(Check(name=name, state="problem", found=found, remedy=remedy))
    return DoctorResult(DoctorRecord(checks=tuple(checks)))


def _python() -> Check:
    found = ".".join(str(part) for part in sys.version_info[:3])
    return Check(name="python", state="ok", found=found)


def _package(name: str) -> Check:
    try:
        return Check(name=name, state="ok", found=version(name))
    except PackageNotFoundError:
        return Check(name=name, state="problem", found="not installed", remedy=f"pip install {name}")


def _onnxruntime() -> Check:
    found = [name for name in ("onnxruntime-gpu", "onnxruntime") if _installed(name)]
    if len(found) == 2:
        remedy = "pip uninstall -y onnxruntime onnxruntime-gpu, then pip install onnxruntime-gpu"
        return Check(name="onnxruntime", state="problem", found="two packages overwrite each other's files", remedy=remedy)
    if not found:
        return Check(name="onnxruntime", state="problem", found="not installed", remedy="pip install onnxruntime-gpu")
    return Check(name="onnxruntime", state="ok", found=f"{found[0]} {version(found[0])}")


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _gpu(_workspace: Workspace) -> Check:
    if shutil.which("nvidia-smi") is None and not Path("/proc/driver/nvidia/version").exists():
        return Check(name="gpu", state="ok", found="none; everything runs on the CPU")
    if not any(_installed(name) for name in ("jax-cuda13-plugin", "jax-cuda12-plugin")):
        return Check(
            name="gpu", state="warning", found="an NVIDIA GPU that JAX cannot use", remedy="pip install 'prodml-magics[gpu]'"
        )
    return Check(name="gpu", state="ok", found="an NVIDIA GPU, with JAX's CUDA plugin")


def _home(workspace: Workspace) -> Check:
    workspace.check_home()
    return Check(name="home", state="ok", found=f"{workspace.home} can be written")


def _disk(workspace: Workspace) -> Check:
    free = shutil.disk_usage(workspace.check_home()).free
    found = f"{free / 1e9:.1f} GB free"
    if free < _LOW_BYTES:
        return Check(name="disk", state="warning", found=found, remedy=f"free space on the disk of {workspace.home}")
    return Check(name="disk", state="ok", found=found)


def _ledger(workspace: Workspace) -> Check:
    if not workspace.has_ledger():
        return Check(name="ledger", state="ok", found="none yet")
    entries = len(workspace.ledger.events())
    return Check(name="ledger", state="ok", found=f"{entries} entries")


def _lake(workspace: Workspace) -> Check:
    names = sorted(workspace.ledger.routes()) if workspace.has_ledger() else []
    rows = sum(workspace.lake.count(name) for name in names)
    return Check(name="lake", state="ok", found=f"{rows:,} rows of {len(names)} models")


def _registry(workspace: Workspace) -> Check:
    if not workspace.has_registry():
        return Check(name="mlflow", state="ok", found="no registered models yet")
    names = workspace.registry.names()
    return Check(name="mlflow", state="ok", found=f"{len(names)} registered models")


def _services(workspace: Workspace) -> Check:
    services = Services(workspace)
    gateway, controller = services.gateway(), services.controller()
    if gateway and controller:
        return Check(name="services", state="ok", found=f"gateway on {services.url()}, controller {controller.pid}")
    if gateway is None and controller is None:
        return Check(name="services", state="ok", found="not running; `prodml up` starts them")
    down = "gateway" if gateway is None else "controller"
    return Check(
        name="services", state="problem", found=f"the {down} does not answer", remedy="run `prodml down`, then `prodml up`"
    )


def _port(workspace: Workspace) -> Check:
    services = Services(workspace)
    runtime = services.runtime()
    if runtime is None or services.gateway() is not None:
        return Check(name="port", state="ok", found="free" if runtime is None else "held by our gateway")
    port = int(runtime.gateway.url.rsplit(":", 1)[1])
    with socket.socket() as probe:
        probe.settimeout(0.5)
        taken = probe.connect_ex(("127.0.0.1", port)) == 0
    if taken:
        return Check(name="port", state="problem", found=f"{port} is taken by another program", remedy="prodml up --port PORT")
    return Check(name="port", state="ok", found=f"{port} is free")


_LOOKS: dict[str, Callable[[Workspace], Check]] = {
    "gpu": _gpu,
    "home": _home,
    "disk": _disk,
    "ledger": _ledger,
    "lake": _lake,
    "mlflow": _registry,
    "services": _services,
    "port": _port,
}
