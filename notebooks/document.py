"""Turn the executed tour into a page of the documentation: ``docs/tour.md`` with its pictures beside it.

python notebooks/document.py build/tour.ipynb docs
"""

from __future__ import annotations

import base64
import re
import sys
from pathlib import Path

import nbformat

_PICTURE = re.compile(r'<img[^>]*src="data:image/svg\+xml;base64,([^"]+)"')
_HEAD = "<!-- Made by `make docs` from notebooks/tour.ipynb. Edit the notebook, not this page. -->\n"


def main(notebook: str, folder: str) -> None:
    """Write the page; pictures of an earlier run are replaced."""
    images = Path(folder) / "images"
    images.mkdir(parents=True, exist_ok=True)
    for old in images.glob("tour-*.svg"):
        old.unlink()
    cells = nbformat.read(notebook, as_version=4).cells
    parts = [_HEAD, *(_cell(cell, number, images) for number, cell in enumerate(cells))]
    (Path(folder) / "tour.md").write_text("\n".join(part for part in parts if part))


def _cell(cell: nbformat.NotebookNode, number: int, images: Path) -> str:
    if cell.cell_type == "markdown":
        return cell.source + "\n"
    outputs = [_output(output, f"tour-{number:02d}", images) for output in cell.outputs]
    return "\n".join([f"```python\n{cell.source}\n```\n", *outputs])


def _output(output: nbformat.NotebookNode, name: str, images: Path) -> str:
    if output.output_type == "stream":
        return f"```text\n{_plain(output.text)}\n```\n"
    data = output.get("data", {})
    text = f"```text\n{_plain(data['text/plain'])}\n```\n" if "text/plain" in data else ""
    picture = _PICTURE.search(data.get("text/html", ""))
    if picture is None:
        return text
    (images / f"{name}.svg").write_bytes(base64.b64decode(picture[1]))
    return f"{text}\n![picture](images/{name}.svg)\n"


def _plain(text: str) -> str:
    text = re.sub(r"\S+@\S+ \(notebook\)", "ann@laptop (notebook)", text)
    return re.sub(r"home: \S+", "home: .prodml", text).rstrip()


if __name__ == "__main__":
    main(*sys.argv[1:])
