"""``make demo``: run the tour headless in an empty home, write its page, say what happened, stop what was started."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
BUILD = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else HERE.parent / "build"
FOLDER = BUILD / "tour"


def main() -> int:
    """Returns 0 when every cell ran; the services are stopped either way."""
    began = time.monotonic()
    home = _prepare()
    from prodml_magics.functions import down, drift, status, timeline

    print("running notebooks/tour.ipynb")
    try:
        _execute()
        report = status()
        moved = drift("cancer", last=143)
        entries = timeline().record.entries
    except Exception as error:  # papermill's error already holds the cell and its message
        print(f"the tour failed: {error}", file=sys.stderr)
        return 1
    finally:
        down()
    _tell(report, moved, entries, home, time.monotonic() - began)
    return 0


def _prepare() -> Path:
    home = FOLDER / ".prodml"
    os.environ["PRODML_HOME"] = str(home)
    if home.exists():
        from prodml_magics.functions import down

        down()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    for name in ("tour.ipynb", "traffic.py"):
        shutil.copy(HERE / name, FOLDER / name)
    return home


def _execute() -> None:
    import papermill
    from jupyter_client.manager import AsyncKernelManager
    from nbconvert import HTMLExporter

    class SocketFiles(AsyncKernelManager):
        """Talks to the kernel over files of this folder: no port is opened, and none has to be encrypted."""

        transport = "ipc"

    logging.getLogger("papermill").setLevel(logging.WARNING)
    done = BUILD / "tour.ipynb"
    papermill.execute_notebook(
        FOLDER / "tour.ipynb", done, cwd=FOLDER, kernel_name="python3", progress_bar=False, kernel_manager_class=SocketFiles
    )
    page, _ = HTMLExporter(template_name="lab").from_filename(str(done))
    (BUILD / "tour.html").write_text(page)


def _tell(report: object, moved: object, entries: object, home: Path, seconds: float) -> None:
    print(f"gateway      {report.gateway.url}, controller {report.controller.state}")
    for model in report.models:
        served = f"{model.traffic.requests} requests, {model.traffic.errors} failed, median {model.traffic.p50_ms:.2f} ms"
        print(f"{model.name:<12} versions {', '.join(map(str, model.versions))}, version {model.live} live; {served}")
    print(f"drift        {moved.title}")
    print(f"ledger       {len(entries)} entries, the last: {entries[-1].kind} {entries[-1].model}, {entries[-1].summary}")
    print(f"home         {home}")
    print(f"report       {BUILD / 'tour.html'}")
    print(f"stopped what was started; {seconds:.0f} s in all")


if __name__ == "__main__":
    sys.exit(main())
