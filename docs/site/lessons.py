"""Lessons in percent format to notebooks, which are executed, and to pages with what they printed and drew.

A cell that draws a figure describes it for readers who do not see it: `# %% alt="What is shown"`.
"""

import base64
import os
import re
import time
from pathlib import Path

import jupytext
from nbclient import NotebookClient
from nbformat import NotebookNode

TIMEOUT = 1200  # seconds for a cell, on a busy machine

BANNER = (
    "[:material-download: Notebook]({name}.ipynb){{ .md-button download }} "
    "[:material-language-python: Python]({name}.py){{ .md-button download }}\n\n"
    "*Everything below was computed when this page was built, in {seconds:.0f} seconds.*\n\n"
)


def build_lesson(source: Path, folder: Path, working: Path) -> float:
    """Execute a lesson in the folder `working`, and write its page and its notebook without outputs into `folder`.

    The result is the time that the lesson took, in seconds.
    """
    notebook = jupytext.read(source)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    folder.mkdir(parents=True, exist_ok=True)
    name = source.stem
    (folder / f"{name}.ipynb").write_text(jupytext.writes(notebook, fmt="ipynb"), encoding="utf-8")
    (folder / f"{name}.py").write_bytes(source.read_bytes())
    begin = time.perf_counter()
    NotebookClient(notebook, timeout=TIMEOUT, resources={"metadata": {"path": str(working)}}).execute()
    seconds = time.perf_counter() - begin
    head, _, rest = _page(notebook, folder, name).partition("\n")
    (folder / f"{name}.md").write_text(f"{head}\n\n{BANNER.format(name=name, seconds=seconds)}{rest}", encoding="utf-8")
    return seconds


def _page(notebook: NotebookNode, folder: Path, name: str) -> str:
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
                assert "alt" in cell.metadata, f'{name}: a cell that draws needs alt="...": {cell.source[:80]!r}'
                parts.append(f"![{cell.metadata['alt']}]({picture.name}){{ .figure }}")
            elif "text/plain" in output.get("data", {}):
                parts.append(_printed(output["data"]["text/plain"]))
    assert re.match(r"# (.+)", parts[0]), f"{name} begins without a title"
    return "\n\n".join(parts) + "\n"


def _folded(text: str) -> str:
    """Folded answers as a block that Markdown is parsed in."""
    return text.replace("<details>", '<details markdown="1">')


def _printed(text: str) -> str:
    return '```text title="Output"\n' + re.sub(r"\x1b\[[0-9;]*m", "", text).rstrip() + "\n```"


def build_lessons(sources: list[Path], folder: Path, working: Path) -> None:
    """Execute all lessons, one after the other; each may use what an earlier one has cached."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for source in sources:
        seconds = build_lesson(source, folder, working)
        print(f"  {source.stem}: {seconds:.0f} s", flush=True)
