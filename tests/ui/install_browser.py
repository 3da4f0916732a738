"""Have a Chromium for the browser tests: the one there is, else apt's (as root), else playwright's own download."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path


def present() -> str | None:
    """The browser that tests would use, none when there is none."""
    named = os.environ.get("PRODML_CHROMIUM")
    if named:
        return named
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or _playwrights()


def _playwrights() -> str | None:
    found = sorted((Path.home() / ".cache" / "ms-playwright").glob("chromium-*/chrome-linux*/chrome"))
    return str(found[-1]) if found else None


def _from_apt() -> bool:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    commands = (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", "fonts-dejavu-core"],
    )
    return all(subprocess.run(line, env=environment, stdout=subprocess.DEVNULL).returncode == 0 for line in commands)


def _from_playwright() -> bool:
    return subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], stdout=subprocess.DEVNULL).returncode == 0


def main() -> None:
    """Install when nothing is there; a machine without a browser is told, not failed: the tests decide."""
    if present() or _from_apt() or _from_playwright():
        return
    print("no Chromium could be had: browser tests will be skipped (with CI=true they fail)", file=sys.stderr)


if __name__ == "__main__":
    main()
