"""Model versions in MLflow: plain MLflow, useful without us, with every file's sha256 kept apart from the files."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from prodml_magics.contract.schema import Contract
from prodml_magics.errors import GateRefused, NotFound, ProdmlError
from prodml_magics.registry.mlflow_errors import retried
from prodml_magics.registry.mlflow_log import log_model
from prodml_magics.wire.names import check_name
from prodml_magics.wire.routes import MODEL_FILES, flavor_of

__all__ = ["FILES", "HASH_TAG", "Registry"]

FILES = (*MODEL_FILES.values(), "contract.json", "profile.arrow", "parity.json", "lineage.json", "samples.json")
HASH_TAG = "prodml.sha256."
"""A version tag of this prefix and the name of a file holds the file's sha256: MLflow's artifacts stay mutable."""
VARIANT_TAG = "prodml.variant.sha256."
"""The same for files that were put beside a version later."""


class Registry:
    """The model registry behind a tracking URI; a few processes may use one SQLite store at once.

    `artifact_root` is the folder of the default store's files, None when the tracking server keeps them itself. MLflow is
    imported with the first call, in 4 to 6 s. Every method raises `Unavailable` when the store cannot be used.
    """

    def __init__(self, tracking_uri: str, artifact_root: str | None) -> None:
        self.tracking_uri = tracking_uri
        self.artifact_root = artifact_root

    def warm(self) -> None:
        """Import what the first registration of a process needs, and open the store; what is wrong is for the next call to say."""
        with suppress(ProdmlError), retried(self.tracking_uri) as ask:
            ask("search_registered_models", max_results=1)

    def names(self) -> tuple[str, ...]:
        """Registered models, sorted."""
        with retried(self.tracking_uri) as ask:
            return tuple(sorted(model.name for model in _pages(ask, "search_registered_models")))

    def versions(self, name: str) -> tuple[int, ...]:
        """Versions of `name`, ascending; empty when there is no such model."""
        check_name(name)
        with retried(self.tracking_uri) as ask:
            return tuple(sorted(int(v.version) for v in _pages(ask, "search_model_versions", f"name='{name}'")))

    def aliases(self, name: str) -> dict[str, int]:
        """Aliases of `name` and the versions that they point to; empty when there is no such model."""
        if name not in self.names():
            return {}
        with retried(self.tracking_uri) as ask:
            return {alias: int(version) for alias, version in sorted(ask("get_registered_model", name).aliases.items())}

    def set_alias(self, name: str, alias: str, version: int | None) -> None:
        """Point `alias` at `version`, or take it away for None; raises `NotFound` for a version that is not there."""
        if version is not None:
            self._found(name, version)
        elif alias not in self.aliases(name):
            return
        with retried(self.tracking_uri) as ask:
            if version is None:
                ask("delete_registered_model_alias", name, alias)
            else:
                ask("set_registered_model_alias", name, alias, str(version))

    def resolve(self, name: str, which: int | str) -> int:
        """The version number of a version or alias; raises `NotFound` listing what there is."""
        versions = self.versions(name)
        if not versions:
            raise NotFound(f"there is no model {name!r}; registered are {', '.join(self.names()) or 'none yet'}")
        if isinstance(which, int):
            if which in versions:
                return which
            raise NotFound(f"{name} has no version {which}; it has {', '.join(map(str, versions))}")
        aliases = self.aliases(name)
        if which not in aliases:
            known = ", ".join(f"{alias} (version {version})" for alias, version in aliases.items())
            raise NotFound(
                f"{name} has no alias {which!r}; it has {known or 'none'}, and versions {', '.join(map(str, versions))}"
            )
        return aliases[which]

    def _found(self, name: str, version: int) -> Any:
        """MLflow's own record of a version; raises `NotFound` listing what there is."""
        check_name(name)
        try:
            with retried(self.tracking_uri) as ask:
                return ask("get_model_version", name, str(version))
        except NotFound:
            self.resolve(name, version)
            raise

    def log_version(
        self,
        name: str,
        files: Mapping[str, bytes],
        *,
        contract: Contract,
        metrics: Mapping[str, float],
        tags: Mapping[str, str] | None = None,
        description: str = "",
    ) -> int:
        """Write one version: a run with the metrics, one MLflow model with all files, and their hashes as tags.

        `files` are the model's and those that travel with it, by name. Returns the version's number.
        """
        check_name(name)
        hashes = {f"{HASH_TAG}{file}": hashlib.sha256(data).hexdigest() for file, data in files.items()}
        with retried(self.tracking_uri) as ask:
            logged = log_model(ask, self.artifact_root, name, files, contract, metrics)
            ask.unless_there("create_registered_model", name)
            made = ask(
                "create_model_version",
                name,
                f"models:/{logged.model_id}",
                logged.run_id,
                {**(tags or {}), **hashes},
                description=description or None,
                model_id=logged.model_id,
            )
        return int(made.version)

    def add_variants(self, name: str, version: int, files: Mapping[str, bytes]) -> None:
        """Put files beside those of a version, into its own MLflow model, with their hashes as tags of their own."""
        with retried(self.tracking_uri) as ask, tempfile.TemporaryDirectory(prefix="prodml-") as folder:
            found = ask("get_model_version", name, str(version))
            for file, data in files.items():
                (Path(folder) / file).write_bytes(data)
            ask("log_model_artifacts", str(found.source).removeprefix("models:/"), folder)
            for file, data in files.items():
                ask("set_model_version_tag", name, str(version), f"{VARIANT_TAG}{file}", hashlib.sha256(data).hexdigest())

    def variant(self, name: str, version: int, file: str) -> bytes:
        """Such a file; raises `NotFound`, and `GateRefused` when it is not what was put there."""
        with retried(self.tracking_uri) as ask, tempfile.TemporaryDirectory(prefix="prodml-") as folder:
            tags = ask("get_model_version", name, str(version)).tags
            if f"{VARIANT_TAG}{file}" not in tags:
                raise NotFound(f"{name}@{version} has no {file}; make it with %optimize {name}@{version}")
            path = Path(ask.artifact(f"models:/{name}/{version}/{file}", folder))
            data = path.read_bytes()
        _verify(file, data, tags[f"{VARIANT_TAG}{file}"], f"{name}@{version}")
        return data

    def fetch(self, name: str, version: int, destination: Path) -> dict[str, str]:
        """Download a version's files into the folder `destination`, whole or not at all; each file's sha256.

        A folder that is there already is checked instead. Raises `NotFound`, and `GateRefused` when the bytes are not those
        that were registered.
        """
        found = self._found(name, version)
        hashes = {tag.removeprefix(HASH_TAG): value for tag, value in found.tags.items() if tag.startswith(HASH_TAG)}
        if flavor_of(hashes) is None:
            raise NotFound(f"{name}@{version} was not registered by prodml-magics; register it with %register")
        if destination.is_dir():
            return _verified(destination, hashes, f"{name}@{version}")
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".fetching-") as temporary:
            self._download(f"models:/{name}/{version}", hashes, Path(temporary))
            _verified(Path(temporary), hashes, f"{name}@{version}")
            _move(Path(temporary), destination, hashes)
        return _verified(destination, hashes, f"{name}@{version}")

    def _download(self, source: str, hashes: Mapping[str, str], folder: Path) -> None:
        with retried(self.tracking_uri) as ask:
            # with a local store MLflow returns its own files, not copies, unless it is told where to put them
            parts = Path(ask.artifact(source, str(folder / ".parts")))
        for file in hashes:
            if (parts / file).is_file():
                shutil.move(parts / file, folder / file)
        shutil.rmtree(folder / ".parts", ignore_errors=True)


def _pages(ask: Any, method: str, query: str | None = None) -> list[Any]:
    found: list[Any] = []
    token = None
    while True:
        page = ask(method, query, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _verified(folder: Path, hashes: Mapping[str, str], version: str) -> dict[str, str]:
    for file, expected in hashes.items():
        path = folder / file
        _verify(file, path.read_bytes() if path.is_file() else None, expected, version)
    return dict(hashes)


def _verify(file: str, data: bytes | None, expected: str, version: str) -> None:
    actual = "missing" if data is None else hashlib.sha256(data).hexdigest()
    if actual != expected:
        raise GateRefused(
            f"{file} of {version} was changed since its registration ({actual[:12]}, not {expected[:12]}); register it again"
        )


def _move(source: Path, destination: Path, hashes: Mapping[str, str]) -> None:
    """Put the verified files in place at once; another process that was faster has put the same ones there."""
    with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".ready-") as holder:
        ready = Path(holder) / "files"
        ready.mkdir()
        for file in hashes:
            (source / file).replace(ready / file)
        try:
            ready.rename(destination)
        except OSError:
            if not destination.is_dir():
                raise
