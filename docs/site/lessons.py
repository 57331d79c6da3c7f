"""Lessons in percent format to notebooks, which are executed, and to pages with what they printed and drew."""

import base64
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

import jupytext
from nbclient import NotebookClient
from nbformat import NotebookNode

TIMEOUT = 1200  # seconds for a cell, on a busy machine
LONGEST = 45  # seconds that a lesson may take on an idle machine

BANNER = (
    "[:material-download: Notebook]({name}.ipynb){{ .md-button download }} "
    "[:material-language-python: Python]({name}.py){{ .md-button download }}\n\n"
    "*Everything below was computed when this page was built, in {seconds:.0f} seconds.*\n\n"
)


@dataclass(frozen=True)
class Lesson:
    """An executed lesson."""

    name: str
    title: str
    seconds: float


def build_lesson(source: Path, folder: Path, working: Path) -> Lesson:
    """Execute a lesson in the folder `working`, and write its page and its notebook without outputs into `folder`."""
    notebook = jupytext.read(source)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    folder.mkdir(parents=True, exist_ok=True)
    name = source.stem
    (folder / f"{name}.ipynb").write_text(jupytext.writes(notebook, fmt="ipynb"), encoding="utf-8")
    (folder / f"{name}.py").write_bytes(source.read_bytes())
    begin = time.perf_counter()
    NotebookClient(notebook, timeout=TIMEOUT, resources={"metadata": {"path": str(working)}}).execute()
    seconds = time.perf_counter() - begin
    title, text = _page(notebook, folder, name)
    head, _, rest = text.partition("\n")
    (folder / f"{name}.md").write_text(f"{head}\n\n{BANNER.format(name=name, seconds=seconds)}{rest}", encoding="utf-8")
    return Lesson(name, title, seconds)


def _page(notebook: NotebookNode, folder: Path, name: str) -> tuple[str, str]:
    parts, pictures = [], 0
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(_folded(cell.source))
            continue
        parts.append(f"```python\n{cell.source}\n```")
        for output in cell.outputs:
            if "text" in output:
                parts.append(_printed(output["text"]))
            elif "image/png" in output.get("data", {}):
                pictures += 1
                picture = folder / f"{name}-{pictures}.png"
                picture.write_bytes(base64.b64decode(output["data"]["image/png"]))
                parts.append(f"![A figure that the cell above draws]({picture.name}){{ .figure }}")
            elif "text/plain" in output.get("data", {}):
                parts.append(_printed(output["data"]["text/plain"]))
    title = re.match(r"# (.+)", parts[0])
    assert title, f"{name} begins without a title"
    return title[1], "\n\n".join(parts) + "\n"


def _folded(text: str) -> str:
    """Folded answers as a block that Markdown is parsed in."""
    return text.replace("<details>", '<details markdown="1">')


def _printed(text: str) -> str:
    return '```text title="Output"\n' + re.sub(r"\x1b\[[0-9;]*m", "", text).rstrip() + "\n```"


def build_lessons(sources: list[Path], folder: Path, working: Path) -> list[Lesson]:
    """Execute all lessons, one after the other; each may use what an earlier one has cached."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    lessons = []
    for source in sources:
        lessons.append(build_lesson(source, folder, working))
        print(f"  {lessons[-1].name}: {lessons[-1].seconds:.0f} s", flush=True)
    (working / "lessons.json").write_text(json.dumps({one.name: one.seconds for one in lessons}))
    return lessons
