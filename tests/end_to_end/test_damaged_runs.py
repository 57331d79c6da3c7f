"""Whatever is damaged in a run is refused in one line by all that read it: no traceback, and no answer of 500."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from damage import FILES, KINDS
from lowerbound.evaluation.results import read_results, read_scores
from lowerbound.foundation.errors import RunError, UsageError
from lowerbound.inference import comparing, model_summary
from lowerbound.reporting.report import write_index
from lowerbound.runs.reevaluation import rewrite_report
from lowerbound.runs.run import train
from lowerbound.runs.run_data import own_splits, read_stored
from lowerbound.runs.run_log import read_epochs
from lowerbound.runs.trained_model import load
from lowerbound.serving.explorer.application import application
from lowerbound.serving.portable.metadata import run_metadata
from lowerbound.serving.service.models import load_runs
from lowerbound.training.checkpoint import load_checkpoint, load_model
from lowerbound.training.loop import training_steps

FIRST_SEED, ROUNDS = (int(os.environ.get(f"LOWERBOUND_DAMAGE_{name}", "0")) for name in ("SEED", "ROUNDS"))
NUM_EACH = (1 + ROUNDS, 8 + 8 * ROUNDS)
"""How often each kind of damage is done to each file, and how often a key is changed under valid checksums, which gets
furthest. More rounds search further.
"""
SETTINGS = {
    "model": {"hidden": [4], "latent_dim": 2},
    "training": {"num_epochs": 2, "min_steps": 0, "batch_size": 8},
    "evaluation": {"num_draws": 2, "num_exact": 2},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of five columns of counts, with its data beside it."""
    folder = tmp_path_factory.mktemp("whole")
    np.save(folder / "x.npy", np.random.default_rng(0).poisson(3, (50, 5)))
    with pytest.MonkeyPatch.context() as patch:
        # Which takes longer than all the rest.
        patch.setattr("lowerbound.runs.run.write_report", lambda results, path, *messages: None)
        train(str(folder / "x.npy"), out=folder / "run", settings=SETTINGS, device="cpu")
    shutil.copytree(folder / "run", folder / "other")
    return folder / "run"


@pytest.fixture(scope="module")
def explorer(tmp_path_factory, whole):
    """The explorer of a folder of runs, to be asked by one after the other."""
    folder = tmp_path_factory.mktemp("runs")
    shutil.copytree(whole.parent, folder / "whole")
    with TestClient(application(folder, device="cpu"), raise_server_exceptions=False) as client:
        yield folder, client


def asked(client: TestClient, run: Path) -> list[str]:
    """What the explorer answers of a run; the addresses whose status is 500 or above."""
    one = f"/api/runs/{run.parent.name}:{run.name}"
    answers = [
        client.get("/api/runs"),
        client.get(one),
        client.get(f"{one}/codes"),
        client.get(f"{one}/points/0"),
        client.get(f"{one}/metrics?after=0"),
        client.get(f"{one}/progress"),
        client.post(f"{one}/sample", json={"num": 2}),
    ]
    return [f"{answer.url.path}: {answer.status_code}" for answer in answers if answer.status_code >= 500]


def resumed(run: Path) -> None:
    """The newest whole checkpoint, taken up by a training."""
    experiment = read_stored(run).experiment
    checkpoint = load_checkpoint(run / "checkpoints")
    for _ in training_steps(
        load_model(run), own_splits(run), experiment.objective, experiment.training, resume=checkpoint
    ):
        pass  # the last epoch, where the newest checkpoint is damaged


def scored(run: Path) -> None:
    trained = load(run)
    assert np.isfinite(trained.score(np.ones((2, 5), np.int64))).all()


DOORS: dict[str, Callable[[Path], object]] = {
    "read_stored": read_stored,
    "read_results": read_results,
    "read_scores": read_scores,
    "read_epochs": read_epochs,
    "load and score": scored,
    "own data": own_splits,
    "resume": resumed,
    "compare": lambda run: comparing.compare([run.parent / "other", run]),
    "summary": lambda run: model_summary.summary(str(run)),
    "export": lambda run: run_metadata(run, load(run)),
    "service": lambda run: load_runs([str(run)], "cpu"),
    "index": lambda run: write_index([run], run / "index.html"),
}


READERS = {
    "checkpoints": ("resume",),
    "calibration": ("load and score",),
    "metrics": ("read_epochs",),
    "results": ("read_results", "read_scores", "compare", "index"),
    "config": tuple(DOORS),
    "model": tuple(DOORS),
}
"""What reads a file, by the beginning of its name; the explorer reads all of them."""


def faults(run: Path, file: str) -> list[str]:
    """What goes wrong, other than with an error of one line, where whatever reads a file of a run is called."""
    found = []
    (readers,) = (doors for beginning, doors in READERS.items() if file.startswith(beginning))
    for door in readers:
        if problem := problem_of(DOORS[door], run):
            found.append(f"{door}: {problem}")
    if file.startswith("results") and was_read(run) and (problem := problem_of(rewrite_report, run)):
        found.append(f"report: {problem}")
    return found


def was_read(run: Path) -> bool:
    """Whether results pass as whole, so that a report is drawn from them."""
    try:
        return bool(read_results(run))
    except RunError:
        return False


def problem_of(read: Callable[[Path], object], run: Path) -> str:
    """What is wrong with how damage is told; nothing where it is refused in one line, or was not in what is read."""
    try:
        read(run)
    except (RunError, UsageError) as error:
        return f"more than one line: {error}" if "\n" in str(error) else ""
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return ""


def test_a_whole_run_passes_every_door(whole, explorer):
    for read in DOORS.values():
        read(whole)
    folder, client = explorer
    assert asked(client, folder / "whole" / "run") == []


@pytest.mark.parametrize("file", FILES)
def test_no_damage_to_a_file_of_a_run_makes_a_traceback(whole, explorer, monkeypatch, file):
    folder, client = explorer
    if not ROUNDS:  # drawing figures takes longer than all the rest
        monkeypatch.setattr("lowerbound.reporting.report.plots_for", lambda results: {})
    found = {}
    for number, kind in ((n, name) for name in KINDS for n in range(NUM_EACH[name == "key, resealed"])):
        run = folder / f"{kind} {number}" / "run"
        shutil.copytree(whole.parent, run.parent)
        KINDS[kind](run / file, np.random.default_rng([FIRST_SEED, number, FILES.index(file), list(KINDS).index(kind)]))
        wrong = [*faults(run, file), *(asked(client, run) if number % 3 == 0 else ())]
        if wrong:
            found[run.parent.name] = wrong
        shutil.rmtree(run.parent)
    assert not found, "\n".join(f"{how}: {wrong}" for how, wrong in found.items())
