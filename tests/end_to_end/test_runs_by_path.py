"""A run is given as the path of its directory or as a Run, wherever a run is expected; anything else is named."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import lowerbound as lb
from command_line import in_process, one_line
from digits_runs import SHORT
from lowerbound.evaluation.config import EvaluationConfig
from lowerbound.foundation.errors import UsageError
from lowerbound.inference import anomaly, comparing, tasks
from lowerbound.runs.reevaluation import diagnose_run, reevaluate, rewrite_report
from lowerbound.serving.explorer.application import application
from lowerbound.serving.explorer.offline import write_offline
from lowerbound.serving.portable.export import export
from untrained_models import untrained_run

FEW = EvaluationConfig(num_draws=2, num_exact=2, importance_draws=4, num_bounded=2, num_gaps=2)
IMAGES = np.random.default_rng(0).integers(0, 256, (30, 8, 8), np.uint8)


def copied(run):
    """A copy of a run beside it, which can be compared with it; anything else as it is."""
    if not isinstance(run, str | Path | lb.Run):
        return run
    other = Path(run).with_name("copy")
    return shutil.copytree(run, other, dirs_exist_ok=True)


DOORS = {
    "load": lb.load,
    "evaluate": lambda run: lb.evaluate(run, IMAGES[:4], FEW),
    "resume": lb.resume,
    "sample": lambda run: tasks.sample(run, 2),
    "encode": lambda run: tasks.encode(run, []),
    "reconstruct": lambda run: tasks.reconstruct(run, []),
    "interpolate": lambda run: tasks.interpolate(run, "0", "1"),
    "score": lambda run: anomaly.score(run, []),
    "compare": lambda run: comparing.compare([run, copied(run)]),
    "reevaluate": reevaluate,
    "diagnose": diagnose_run,
    "report": rewrite_report,
    "explore": application,
    "offline": lambda run: write_offline(run, run / "page.html"),
    "export": export,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    np.save(folder / "images.npy", IMAGES)
    settings = {**SHORT, "model": {"latent_dim": 3, "hidden": [8]}}
    return lb.train(folder / "images.npy", settings=settings, out=folder / "run")


@pytest.mark.parametrize("as_given", [str, lambda run: run], ids=["path", "run"])
@pytest.mark.parametrize("door", ["load", "sample", "encode", "reconstruct", "interpolate", "score", "compare"])
def test_the_path_of_a_run_and_the_run_itself_are_accepted(run, door, as_given):
    given = as_given(run)
    given = given if isinstance(given, lb.Run) else str(run.path)
    assert DOORS[door](given)


@pytest.mark.parametrize("data", [None, IMAGES[:4]], ids=["its own", "others"])
def test_the_evaluation_of_a_path_is_that_of_its_model(run, data, monkeypatch):
    evaluated = []

    def noted(vae, splits, *_, **__):
        evaluated.append((vae, splits))
        return run.results

    monkeypatch.setattr(tasks, "evaluate_full", noted)
    for given in (run.model, run, run.path, str(run.path)):
        lb.evaluate(given, data)
    for vae, splits in evaluated[1:]:
        assert splits.checksum == evaluated[0][1].checksum
        torch.testing.assert_close(vae.state_dict(), evaluated[0][0].state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("door", sorted(DOORS.keys() - {"offline"}))
def test_what_is_neither_a_run_nor_a_path_is_named(unchecked, door):
    with pytest.raises(UsageError, match="expected a run or the path of its directory, got a float"):
        DOORS[door](2.5)


@pytest.fixture
def several(tmp_path):
    for seed in (10, 2):
        untrained_run(tmp_path / "all" / f"seed-{seed}", IMAGES)
    return tmp_path / "all"


@pytest.mark.parametrize("door", sorted(DOORS.keys() - {"explore", "offline"}))
def test_a_directory_of_several_runs_names_them(several, door):
    with pytest.raises(UsageError) as refusal:
        DOORS[door](several)
    assert str(refusal.value) == (
        f"{several} is not a run directory but contains 2 (seed-2, seed-10); give one of them, "
        f"such as {several}/seed-2."
    )


@pytest.mark.parametrize(
    "words", [["evaluate"], ["diagnose"], ["report"], ["score"], ["sample"], ["export"], ["train", "--resume"]]
)
def test_commands_name_the_runs_of_several_seeds(several, capsys, words):
    message = one_line(in_process(capsys, *words, several, expect=2).err)
    assert "contains 2 (seed-2, seed-10); give one of them" in message


def test_a_new_run_is_not_told_to_resume_several(several, capsys):
    message = one_line(in_process(capsys, "train", "digits", "--out", several, expect=2).err)
    assert "it contains 2 runs; choose another directory" in message and "resume" not in message
