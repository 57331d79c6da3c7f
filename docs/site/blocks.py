"""Code blocks of the documentation, run as a reader would run them.

The blocks of a page share a working directory, and its Python blocks a namespace. A block that cannot run here has a
comment in the line above it, <!-- no-run: the reason -->, which is listed.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(
    r"(?:^<!-- no-run: (?P<reason>.+?) -->\n)?^```(?P<kind>python|sh|bash)\n(?P<code>.*?)^```", re.M | re.S
)
TIMEOUT = 240  # seconds


@dataclass(frozen=True)
class Block:
    """A code block of a page."""

    page: str
    line: int
    kind: str
    code: str
    reason: str  # why it is not run; empty if it is


@dataclass(frozen=True)
class Outcome:
    """How a block ended."""

    block: Block
    seconds: float
    error: str


def blocks_of(page: Path) -> Iterator[Block]:
    """The Python and shell blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("code")) + 1
        yield Block(page.name, line, match["kind"], match["code"], match["reason"] or "")


def run_page(page: Path, working: Path) -> list[Outcome]:
    """Run the blocks of a page in the folder `working`, each kind in order."""
    outcomes = []
    earlier: list[str] = []
    for block in blocks_of(page):
        if block.reason:
            continue
        begin = time.perf_counter()
        if block.kind == "python":
            error = _run([sys.executable, "-c", _program([*earlier, block.code])], working)
            earlier.append(block.code)
        else:
            error = _run(["bash", "-euo", "pipefail", "-c", block.code], working)
        outcomes.append(Outcome(block, time.perf_counter() - begin, error))
    return outcomes


def _program(codes: list[str]) -> str:
    """The blocks so far, of which only the last one's errors have not been seen."""
    return f"import json\nfor code in json.loads({json.dumps(json.dumps(codes))}):\n    exec(code, globals())\n"


def _run(command: list[str], working: Path) -> str:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "MPLBACKEND": "agg"}
    # A session of its own, so that programs that a block has started end with it.
    process = subprocess.Popen(
        command, cwd=working, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        printed, _ = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return f"not finished after {TIMEOUT} s: {shlex.join(command)[:200]}"
    return "" if process.returncode == 0 else printed.strip()[-2000:]
