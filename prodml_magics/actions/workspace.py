"""The home and its stores as one value that every action gets; each store opens on first use."""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
import socket
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from prodml_magics.clock import Clock, SystemClock
from prodml_magics.contract.schema import Contract, read_contract
from prodml_magics.errors import GateRefused, NotFound, Unavailable
from prodml_magics.wire.events import Cell
from prodml_magics.wire.rollouts import RolloutState
from prodml_magics.wire.routes import MODEL_FILES, Route, VersionFiles, flavor_of

if TYPE_CHECKING:
    from prodml_magics.registry.store import Registry
    from prodml_magics.storage.lake import Lake
    from prodml_magics.storage.ledger import Ledger

__all__ = ["Workspace", "find_home"]


def find_home(directory: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """``PRODML_HOME``, else the nearest ``.prodml`` upwards from `directory`, else ``directory/.prodml``."""
    if named := environment.get("PRODML_HOME"):
        return Path(named).expanduser().absolute()
    for folder in (directory, *directory.parents):
        if (folder / ".prodml").is_dir():
            return folder / ".prodml"
    return directory / ".prodml"


class Workspace:
    """One home, who acts in it, by which clock, and from which notebook cell."""

    def __init__(
        self,
        home: Path,
        *,
        actor: str,
        clock: Clock,
        environment: Mapping[str, str] = os.environ,
        cell: Cell | None = None,
    ) -> None:
        self.home = home
        self.actor = actor
        self.clock = clock
        self.cell = cell
        self._environment = environment

    @classmethod
    def open(cls, directory: Path | None = None, door: str = "python", cell: Cell | None = None) -> Workspace:
        """The workspace of `directory` (default: the working directory), acted upon through `door`. Touches no disk."""
        home = find_home((directory or Path.cwd()).absolute())
        return cls(home, actor=f"{_user()}@{socket.gethostname()} ({door})", clock=SystemClock(), cell=cell)

    @property
    def origin(self) -> dict[str, Any]:
        """What an entry of the ledger holds of the notebook cell that it comes from; empty outside of a notebook."""
        return {} if self.cell is None else {"cell": msgspec.to_builtins(self.cell)}

    @property
    def ledger_url(self) -> str:
        """Database URL of the ledger: ``PRODML_DATABASE_URL``, else SQLite in the home."""
        from prodml_magics.storage.ledger import sqlite_url

        return self._environment.get("PRODML_DATABASE_URL") or sqlite_url(self.home / "ledger.db")

    @property
    def service_environment(self) -> dict[str, str]:
        """What the services of this home are told by their environment; a database URL may hold a password."""
        return {"PRODML_HOME": str(self.home), "PRODML_DATABASE_URL": self.ledger_url}

    @property
    def tracking_uri(self) -> str:
        """``MLFLOW_TRACKING_URI``, else SQLite in the home."""
        from prodml_magics.storage.ledger import sqlite_url

        path = self.home / "mlflow.db"
        # MLflow makes the folder that the address spells, so that nothing is escaped that need not be.
        own = sqlite_url(path) if set("%?") & set(str(path)) else f"sqlite:///{path}"
        return self._environment.get("MLFLOW_TRACKING_URI") or own

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger; makes the home and its tables when they are missing."""
        from prodml_magics.storage.ledger import Ledger

        self.make_home()
        return Ledger(self.ledger_url)

    def has_ledger(self) -> bool:
        """Whether anything was ever written, so that reading need not create a home."""
        return bool(self._environment.get("PRODML_DATABASE_URL")) or (self.home / "ledger.db").exists()

    def ledger_revision(self) -> int:
        """A number that grows with every entry of the ledger; 0 without one."""
        return self.ledger.last_id() if self.has_ledger() else 0

    @cached_property
    def lake(self) -> Lake:
        """The lake at ``PRODML_LAKE``, else in the home."""
        from prodml_magics.storage.lake import Lake

        return Lake(self._environment.get("PRODML_LAKE") or self.home / "lake")

    @cached_property
    def registry(self) -> Registry:
        """MLflow's model registry; imports mlflow on first use."""
        from prodml_magics.registry.store import Registry

        self.make_home()
        own = not self._environment.get("MLFLOW_TRACKING_URI")
        return Registry(self.tracking_uri, str(self.home / "mlartifacts") if own else None)

    def has_registry(self) -> bool:
        """Whether models were ever registered, so that looking need not create a store."""
        return bool(self._environment.get("MLFLOW_TRACKING_URI")) or (self.home / "mlflow.db").exists()

    def close(self) -> None:
        """Close the connections to the ledger; the workspace may be used again."""
        if "ledger" in vars(self):
            self.ledger.close()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check_home(self) -> Path:
        """The home, or the nearest folder that is there to make it in; `Unavailable` when it cannot be written. Makes nothing."""
        nearest = next(folder for folder in (self.home, *self.home.parents) if folder.exists())
        if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
            raise Unavailable(f"{self.home} cannot be written; set PRODML_HOME to a folder that can")
        return nearest

    def make_home(self) -> None:
        """Create the home; `Unavailable` when it cannot be written."""
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            ignore = self.home / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
        except OSError as error:
            raise Unavailable(
                f"{self.home} cannot be written ({error.strerror}); set PRODML_HOME to a folder that can"
            ) from error
        if not os.access(self.home, os.W_OK):
            raise Unavailable(f"{self.home} cannot be written; set PRODML_HOME to a folder that can")

    def folder(self, model: str, version: int) -> Path:
        """Where the files of a version lie in the home."""
        return self.home / "models" / model / str(version)

    def contract(self, model: str, version: int) -> Contract:
        """The contract of a version, fetched when it is not in the home."""
        path = self.folder(model, version) / "contract.json"
        if not path.exists():
            self.fetch(model, version)
        return read_contract(path.read_bytes())

    def files(self, model: str, version: int) -> VersionFiles:
        """The files of a version in the home, verified against the registry's record when they had to be fetched.

        A file that somebody else made, or that was registered elsewhere, keeps a process of its own until it has been live.
        Raises `GateRefused` for Python that was not registered from this home: MLflow's record alone does not make it trusted; nor a
        file, which has to pass the gate that it passed, or did not, where it was registered.
        """
        entry = self._registered(model, version)
        known = None if entry is None else dict(entry["sha256"])
        folder = self.folder(model, version)
        if known is None or not _intact(folder, known):
            shutil.rmtree(folder, ignore_errors=True)  # what is there was changed or never whole
            known = self.fetch(model, version)
        flavor = flavor_of(known) or "onnx"
        if flavor == "python" and entry is None:
            raise GateRefused(
                f"{model}@{version} is Python that was registered elsewhere, and can run any code; register it here with --trust"
            )
        if entry is None:
            _gate(folder / MODEL_FILES[flavor], f"{model}@{version}")
        return VersionFiles(
            version=version,
            folder=str(folder.relative_to(self.home)),
            model_sha256=known[MODEL_FILES[flavor]],
            contract_sha256=known["contract.json"],
            samples_sha256=known.get("samples.json", ""),
            flavor=flavor,
            isolate=flavor == "onnx" and (entry is None or bool(entry.get("foreign"))),
        )

    def fetch(self, model: str, version: int) -> dict[str, str]:
        """Download a version into the home; returns sha256 by file."""
        folder = self.folder(model, version)
        folder.parent.mkdir(parents=True, exist_ok=True)
        return self.registry.fetch(model, version, folder)

    def _registered(self, model: str, version: int) -> dict[str, Any] | None:
        """What the ledger's register entry says of it."""
        for event in self.ledger.events(model):
            if event.kind == "register" and event.payload["version"] == version:
                return event.payload
        return None

    def route(self, model: str) -> Route:
        """The route of `model` as the ledger has it; an empty one without a ledger, which looking does not create."""
        return self.ledger.route(model) if self.has_ledger() else Route(model, 0)

    def rollout(self, model: str) -> RolloutState | None:
        """The latest rollout of `model`, over or not; none without one."""
        return self.ledger.rollout(model) if self.has_ledger() else None

    def versions(self, model: str) -> tuple[int, ...]:
        """Versions that the ledger knows of, in order."""
        if not self.has_ledger():
            return ()
        found = {event.payload["version"] for event in self.ledger.events(model) if event.kind == "register"}
        return tuple(sorted(found))

    def live(self, model: str) -> int:
        """The live version of `model`, else `NotFound`."""
        live = self.route(model).live
        if live is None:
            raise NotFound(self._why_not_live(model))
        return live

    def _why_not_live(self, model: str) -> str:
        from prodml_magics.contract.nearest import did_you_mean

        if self.versions(model):
            return f"{model} is not deployed; deploy it with %deploy {model}"
        known = sorted({event.model for event in self.ledger.events() if event.kind == "register"}) if self.has_ledger() else []
        if not known:
            return f"{model} is not deployed, and no model is registered in {self.home}; begin with %register"
        return f"there is no model {model!r} here; {did_you_mean(model, known)}"


def _gate(path: Path, where: str) -> None:
    from prodml_magics.inference.gate import check_model

    try:
        check_model(path.read_bytes(), trusted_exporter=True)
    except GateRefused as error:
        raise GateRefused(f"{where} was registered elsewhere and is not loaded: {error}") from error


def _intact(folder: Path, known: Mapping[str, str]) -> bool:
    for name, expected in known.items():
        path = folder / name
        if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            return False
    return True


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())
