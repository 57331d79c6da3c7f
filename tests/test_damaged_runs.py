"""Whatever is damaged in a run is refused in one line by all that read it: no traceback, and no answer of 500."""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from damage import KINDS, damaged
from lowerbound import use
from lowerbound.errors import LowerboundError, RunError, UsageError
from lowerbound.evaluation.results import read_results, read_scores
from lowerbound.reporting.report import write_index
from lowerbound.run import rewrite_report, train
from lowerbound.run_data import own_splits, read_experiment
from lowerbound.run_log import read_epochs
from lowerbound.serving.explorer.application import application
from lowerbound.serving.portable.about import about_run
from lowerbound.serving.service.models import load_runs
from lowerbound.trained_model import load
from lowerbound.training.checkpoint import load_checkpoint, load_model
from lowerbound.training.loop import fit

NUM_DAMAGED = int(os.environ.get("LOWERBOUND_DAMAGED_RUNS", "200"))
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
        patch.setattr("lowerbound.run.write_report", lambda results, path: None)
        train(str(folder / "x.npy"), out=folder / "run", settings=SETTINGS, device="cpu")
    shutil.copytree(folder / "run", folder / "other")
    return folder / "run"


def asked(run: Path) -> list[str]:
    """What the explorer answers of a run; the addresses whose status is 500 or above."""
    with TestClient(application(run, device="cpu"), raise_server_exceptions=False) as client:
        one = f"/api/runs/{run.name}"
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
    _, experiment = read_experiment(run)
    checkpoint = load_checkpoint(run / "checkpoints")
    for _ in fit(load_model(run), own_splits(run), experiment.objective, experiment.training, resume=checkpoint):
        pass  # the last epoch, where the newest checkpoint is damaged


def scored(run: Path) -> None:
    trained = load(run)
    assert np.isfinite(trained.score(np.ones((2, 5), np.int64))).all()


DOORS: dict[str, Callable[[Path], object]] = {
    "read_experiment": read_experiment,
    "read_results": read_results,
    "read_scores": read_scores,
    "read_epochs": read_epochs,
    "load and score": scored,
    "own data": own_splits,
    "resume": resumed,
    "compare": lambda run: use.compare([run.parent / "other", run]),
    "summary": lambda run: use.summary(str(run)),
    "export": lambda run: about_run(run, load(run)),
    "service": lambda run: load_runs([str(run)], "cpu"),
    "index": lambda run: write_index([run], run / "index.html"),
}


def faults(run: Path, name: str) -> list[str]:
    """What goes wrong, other than with an error of one line, where a run is read in every way."""
    found = []
    passed = set()
    for door, read in DOORS.items():
        try:
            read(run)
            passed.add(door)
        except (RunError, UsageError) as error:
            if "\n" in str(error):
                found.append(f"{door}: {error}")
        except Exception as error:
            found.append(f"{door}: {type(error).__name__}: {str(error)[:200]}")
    if "read_results" in passed and name.startswith(("results", "metrics")):
        try:
            rewrite_report(run)
        except Exception as error:
            if not isinstance(error, LowerboundError):
                found.append(f"report: {type(error).__name__}: {str(error)[:200]}")
    return [*found, *(f"explorer: {status}" for status in asked(run))]


def test_a_whole_run_passes_every_door(whole):
    for read in DOORS.values():
        read(whole)
    assert asked(whole) == []


def test_no_damage_to_a_run_makes_a_traceback(whole, tmp_path):
    counts, found = Counter(), {}
    for seed in range(NUM_DAMAGED):
        run = tmp_path / "runs" / "run"
        shutil.rmtree(run.parent, ignore_errors=True)
        shutil.copytree(whole.parent, run.parent)
        how = damaged(run, np.random.default_rng(seed))
        counts[how] += 1
        if wrong := faults(run, how):
            found[f"{seed}: {how}"] = wrong
    assert not found, "\n".join(f"{how}: {wrong}" for how, wrong in found.items())
    assert len(counts) > len(KINDS)
