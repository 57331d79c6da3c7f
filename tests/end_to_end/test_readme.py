"""The Python blocks of the documents run as they are pasted, each by itself."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
DOCUMENTS = ("README.md", "docs/own-data.md", "docs/python.md")
BLOCKS = [
    pytest.param(block, id=f"{name}-{number}")
    for name in DOCUMENTS
    for number, block in enumerate(BLOCK.findall((ROOT / name).read_text(encoding="utf-8")), start=1)
]


def test_all_documents_have_blocks():
    assert len(BLOCKS) >= 1 + len(DOCUMENTS)


@pytest.mark.usefixtures("few_examples", "without_figures")
@pytest.mark.parametrize("block", BLOCKS)
def test_a_python_block_runs_as_pasted(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "<block>", "exec"), {"__name__": "block"})
