"""Build hook: a wheel carries the panel as its sources are now, or says that it carries none."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILD = "prodml_magics/labextension"
INSTALLED = "share/jupyter/labextensions/prodml-magics"
SOURCES = ("package.json", "package-lock.json", "extension/src", "extension/style", "extension/schema")


class PanelHook(BuildHookInterface[Any]):
    """Runs after the hook that builds the panel, and also when that one was told to skip (SKIP_JUPYTER_BUILDER=1)."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        built = root / BUILD / "package.json"
        if not built.exists():
            self.app.display_warning("The JupyterLab panel is left out: it was not built. Install Node 20 and build again.")
            return
        if not (root / "PKG-INFO").exists() and is_stale(root, built):  # an unpacked sdist has PKG-INFO
            self.app.abort(f"{BUILD} is older than its sources; run `npm run build`, or `npm run clean` to leave the panel out.")
        build_data["shared_data"][BUILD] = INSTALLED
        build_data["shared_data"]["extension/install.json"] = f"{INSTALLED}/install.json"


def is_stale(root: Path, built: Path) -> bool:
    """Whether any source was changed, added or removed after the build was finished."""
    return newest(root / source for source in SOURCES) > built.stat().st_mtime_ns


def newest(paths: Iterable[Path]) -> int:
    """Time of the latest change to these files and folders, and to all that is in them (ns since 1970)."""
    return max(entry.stat().st_mtime_ns for path in paths for entry in (path, *path.rglob("*")))
