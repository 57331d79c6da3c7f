"""The commands that read a run, the files that each reads, and how often it is tried: commands that plot are slow."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults.comparing import essence
from benchmarks.faults.runs import CHEAP_EVALUATION, RESUME, Words

CONFIG, MODEL, CALIBRATION = "config.toml", "model.safetensors", "calibration.safetensors"
RESULTS, ARRAYS, METRICS = "results.json", "results.safetensors", "metrics.jsonl"
CHECKPOINTS = "checkpoints"
REFUSED = " refused"
SIGNS = ('"state":"broken"', "results are not shown: ")
"""Marks of answers that report a run, or its results, as unreadable."""
CALLS = ("", "/codes", "/points/0", "/metrics?after=0")


@dataclass(frozen=True)
class Reader:
    """A command, or an equivalent action, and the files of a run that it may read."""

    name: str
    words: Words = ()
    files: tuple[str, ...] = ()
    templates: tuple[str, ...] = ("digits", "table")
    chance: float = 1.0  # that a combination with it is kept
    action: Callable[[], Any] | None = None
    is_server: bool = False

    def reads(self, template: str, file: str) -> bool:
        """Whether the command may read a file of the template."""
        name = CHECKPOINTS if f"/{CHECKPOINTS}/" in file else Path(file).name
        return template in self.templates and name in self.files


def explore() -> int:
    """The explorer's responses for each run of the folder, as JSON of path, status and content."""
    from starlette.testclient import TestClient

    from lowerbound.serving.explorer.application import application

    app = application(Path())
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        listed = client.get("/api/runs")
        paths = [f"/api/runs/{run['id']}{call}" for run in listed.json().get("runs", ()) for call in CALLS]
        answers = {"/api/runs": listed} | {path: client.get(path) for path in paths}
    print(json.dumps({path: [answer.status_code, _said(answer)] for path, answer in answers.items()}))
    return 0


def serve() -> int:
    """The service's responses for the run; refusing to load it ends as the command would."""
    from starlette.testclient import TestClient

    from lowerbound.commands import console
    from lowerbound.foundation.errors import LowerboundError
    from lowerbound.serving.http.access import access_for
    from lowerbound.serving.service.application import build_application
    from lowerbound.serving.service.limits import Limits
    from lowerbound.serving.service.models import load_runs

    try:
        app = build_application(load_runs(["run"], "cpu"), Limits(), access_for("127.0.0.1"))
    except LowerboundError as error:
        console.fail(error)
        raise SystemExit(error.exit_status) from None
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        answers = {
            path: client.get(path) for path in ("/v2/models/run.encode", "/v2/models/run.generate", "/", "/docs")
        }
        answers["/generate"] = client.get("/generate?num=2&seed=1")
    print(json.dumps({path: [answer.status_code, _said(answer)] for path, answer in answers.items()}))
    return 0


def _said(answer: Any) -> str:
    """The text of an error, else a digest of the response."""
    if answer.status_code >= 400:
        return str(answer.text[:500])
    is_json = "json" in answer.headers.get("content-type", "")
    said = essence("answer.json" if is_json else "answer", answer.content)
    return said + (REFUSED if is_json and any(sign in answer.text for sign in SIGNS) else "")


READERS = (
    Reader("sample", ("sample", "run", "--num", "4"), (MODEL, CONFIG)),
    Reader("encode", ("encode", "run"), (MODEL, CONFIG)),
    Reader("score", ("score", "run", "--no-importance", "--json"), (MODEL, CONFIG, CALIBRATION)),
    Reader("reconstruct", ("reconstruct", "run"), (MODEL, CONFIG), chance=0.5),
    Reader("interpolate", ("interpolate", "run", "1", "2"), (MODEL, CONFIG), chance=0.3),
    Reader("impute", ("impute", "run", "../data/things.csv"), (MODEL, CONFIG), ("table",), chance=0.5),
    Reader("summary", ("summary", "run"), (MODEL, CONFIG), chance=0.5),
    Reader("inspect", ("inspect", "run"), (CONFIG,)),
    Reader("compare", ("compare", "run", "other", "--json"), (CONFIG, RESULTS, ARRAYS, METRICS)),
    Reader("compare the other way", ("compare", "other", "run"), (RESULTS, ARRAYS)),
    Reader("diagnose", ("diagnose", "run"), (CONFIG, MODEL, ARRAYS, RESULTS), chance=0.3),
    Reader("report", ("report", "run"), (CONFIG, RESULTS, ARRAYS, METRICS), chance=0.2),
    Reader("export", ("export", "run", "--format", "torch"), (CONFIG, MODEL), chance=0.1),
    Reader("evaluate", ("evaluate", "run", *CHEAP_EVALUATION), (CONFIG, MODEL), chance=0.05),
    Reader(
        # Not from damaged checkpoints: from an earlier one, more epochs have another schedule.
        "train --resume of a finished run",
        (*RESUME, "--epochs", "4"),
        (CONFIG, METRICS, MODEL),
        chance=0.05,
    ),
    Reader("train --resume", RESUME, (CONFIG, CHECKPOINTS, METRICS), ("interrupted",), chance=0.4),
    Reader(
        "explore",
        files=(CONFIG, MODEL, RESULTS, ARRAYS, CALIBRATION, METRICS),
        chance=0.5,
        action=explore,
        is_server=True,
    ),
    Reader("serve", files=(CONFIG, MODEL), chance=0.5, action=serve, is_server=True),
)
