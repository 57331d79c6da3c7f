"""Code blocks of the documentation, run as a reader would run them.

The blocks of a page share a working directory, and its Python blocks a namespace. A block that cannot run here has a
comment in the line above it, <!-- no-run: the reason -->, which is listed.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(
    r"(?:^<!-- no-run: (?P<reason>.+?) -->\n)?^```(?P<kind>python|sh|bash)\n(?P<code>.*?)^```", re.M | re.S
)
TIMEOUT = 600  # seconds, on a busy machine


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
    """Run the blocks of a page in the folder `working`, in their order."""
    chosen = [block for block in blocks_of(page) if not block.reason]
    with Interpreter(working) as interpreter:
        return [_outcome(block, working, interpreter) for block in chosen]


def _outcome(block: Block, working: Path, interpreter: "Interpreter") -> Outcome:
    begin = time.perf_counter()
    error = interpreter.run(block.code) if block.kind == "python" else _run_shell(block.code, working)
    return Outcome(block, time.perf_counter() - begin, error)


class Interpreter:
    """A Python process that runs the blocks of a page in one namespace; started by the first of them."""

    LOOP = """
import json, sys, traceback
answers, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
    try:
        exec(compile(json.loads(line), "<block>", "exec"), globals())
        print('""', file=answers, flush=True)
    except BaseException:
        print(json.dumps(traceback.format_exc()[-2000:]), file=answers, flush=True)
"""

    def __init__(self, working: Path) -> None:
        self.working = working
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "Interpreter":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def run(self, code: str) -> str:
        """Run one block; the end of its traceback, or an empty text."""
        if self.process is None:
            self.process = _started([sys.executable, "-c", self.LOOP], self.working, stdin=subprocess.PIPE)
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(TIMEOUT, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        try:
            process.stdin.write(json.dumps(code) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        timer.cancel()
        return str(json.loads(answer)) if answer else f"the interpreter ended, or took more than {TIMEOUT} s"


def _run_shell(code: str, working: Path) -> str:
    process = _started(["bash", "-euo", "pipefail", "-c", code], working, stdin=subprocess.DEVNULL)
    try:
        printed, _ = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return f"not finished after {TIMEOUT} s: {code[:200]}"
    return "" if process.returncode == 0 else printed.strip()[-2000:]


def _started(command: list[str], working: Path, stdin: int) -> "subprocess.Popen[str]":
    """A program in a session of its own, so that what it has started can be ended with it."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "MPLBACKEND": "agg"}
    is_shell = command[0] == "bash"
    return subprocess.Popen(
        command,
        cwd=working,
        env=environment,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if is_shell else subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
