"""What is installed is what was built: the wheel alone brings panel and server side, both enabled."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
_PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
NODE_MODULES = REPOSITORY / "node_modules"

needs_node = pytest.mark.skipif(shutil.which("npm") is None, reason="no npm: the panel cannot be built; install Node 20")


def _run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "SKIP_JUPYTER"))}
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=cwd, env={**kept, "PATH": _PATH, **environment}, capture_output=True, text=True, check=False)


def _checkout(folder: Path) -> Path:
    """The files that git has or would take, as a clone would have them, in a folder that a build may change."""
    listed = _run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=REPOSITORY)
    assert listed.returncode == 0, listed.stderr
    for name in filter(None, listed.stdout.split("\0")):
        if (REPOSITORY / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, target)
    return folder


def _build(checkout: Path, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return _run(sys.executable, "-m", "build", "--no-isolation", *flags, "--outdir", "dist", ".", cwd=checkout, **environment)


def _only(folder: Path, pattern: str) -> Path:
    [found] = folder.glob(pattern)
    return found


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = _checkout(tmp_path_factory.mktemp("checkout"))
    if NODE_MODULES.exists():  # else npm fetches them
        shutil.copytree(NODE_MODULES, folder / "node_modules", symlinks=True, copy_function=os.link)
    return folder


@pytest.fixture(scope="module")
def wheel(checkout: Path) -> Path:
    """A wheel made from an sdist, as an index would serve both."""
    stale = checkout / "prodml_magics" / "labextension" / "static"
    stale.mkdir(parents=True)
    (stale / "stale.js").write_text("of an earlier build")
    built = _build(checkout)
    assert built.returncode == 0, built.stdout + built.stderr
    return _only(checkout / "dist", "*.whl")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` folder of a fresh environment with the wheel and what it requires, nothing else."""
    folder = tmp_path_factory.mktemp("fresh")
    environment = folder / "environment"
    python = environment / "bin" / "python"
    constraints = ("--constraint", _pinned(folder))
    if shutil.which("uv", path=_PATH):
        steps = [
            ("uv", "venv", "--python", sys.executable, environment),
            ("uv", "pip", "install", "--python", python, wheel, *constraints),
        ]
    else:
        steps = [(sys.executable, "-m", "venv", environment), (python, "-m", "pip", "install", wheel, *constraints)]
    for step in steps:
        done = _run(*step, cwd=folder)
        assert done.returncode == 0, done.stderr
    return python.parent


def _pinned(folder: Path) -> Path:
    """The versions of the lock without their hashes: with hashes pip refuses a wheel that was built here."""
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    file = folder / "versions.txt"
    file.write_text("\n".join(line.rstrip("\\ ") for line in lines if line and line[0] not in " #"))
    return file


def _says(program: Path, *arguments: str, home: Path) -> str:
    done = _run(program, *arguments, cwd=home, HOME=str(home))
    assert done.returncode == 0, done.stderr
    return re.sub(r"\x1b\[\d*m", "", done.stdout + done.stderr)  # without colours


@needs_node
@pytest.mark.timeout(600)
def test_the_wheel_alone_enables_panel_and_server_extension(installed: Path, tmp_path: Path) -> None:
    panels = _says(installed / "jupyter", "labextension", "list", home=tmp_path)
    assert re.search(r"prodml-magics v\S+ enabled OK", panels), panels
    servers = _says(installed / "jupyter", "server", "extension", "list", home=tmp_path)
    assert re.search(r"prodml_magics\.lab enabled", servers), servers
    assert re.search(r"prodml_magics\.lab .*OK", servers), servers


@needs_node
@pytest.mark.timeout(600)
def test_the_wheel_holds_this_build_once_and_nothing_of_an_earlier_one(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if "stale.js" in name or "node_modules" in name]
    assert not [name for name in names if name.startswith("prodml_magics/labextension")]
    assert [name for name in names if name.endswith("labextensions/prodml-magics/install.json")]
    assert len([name for name in names if "remoteEntry" in name]) == 1


@pytest.mark.timeout(600)
def test_without_node_the_wheel_is_built_without_the_panel(tmp_path: Path) -> None:
    checkout = _checkout(tmp_path)
    built = _build(checkout, "--wheel", SKIP_JUPYTER_BUILDER="1")
    assert built.returncode == 0, built.stderr
    assert "panel is left out" in built.stdout + built.stderr
    names = zipfile.ZipFile(_only(checkout / "dist", "*.whl")).namelist()
    assert not [name for name in names if "labextension" in name]
    assert [name for name in names if name.endswith("jupyter_server_config.d/prodml-magics.json")]


@pytest.mark.timeout(600)
def test_a_stale_panel_is_refused(tmp_path: Path) -> None:
    checkout = _checkout(tmp_path)
    built = checkout / "prodml_magics" / "labextension" / "package.json"
    built.parent.mkdir()
    built.write_text("{}")
    source = checkout / "extension" / "src" / "index.ts"
    os.utime(source, ns=(0, built.stat().st_mtime_ns + 1))
    refused = _build(checkout, "--wheel", SKIP_JUPYTER_BUILDER="1")
    assert refused.returncode != 0
    assert "older than its sources" in refused.stdout + refused.stderr


def test_panel_and_package_have_one_version() -> None:
    package = json.loads((REPOSITORY / "package.json").read_text())
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert (package["name"], package["version"]) == (project["name"], project["version"])


def test_the_lock_names_no_download_address() -> None:
    assert '"resolved"' not in (REPOSITORY / "package-lock.json").read_text()
