"""A finished run is evaluated again on its own data, and evaluation continues after an interruption."""

import shutil
from functools import partial

import numpy as np
import pytest

import lowerbound as lb
from digits_runs import SHORT
from lowerbound.evaluation import annealing_metrics
from lowerbound.evaluation.results import read_results
from lowerbound.foundation.errors import Interrupted, RunError
from lowerbound.runs.prior_fitting import fit_prior
from lowerbound.runs.reevaluation import diagnose_run, reevaluate
from lowerbound.runs.run import Callbacks, train

FEW = {
    "evaluation": {
        "num_annealed": 20, "num_simulated": 2, "importance_draws": 20, "num_bounded": 2, "num_gaps": 2,
        "annealing": {"num_temperatures": 15, "num_leapfrog": 1, "num_chains": 32},
    }
}  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A run on images of 4 x 4 pixels, with more latents than are integrated; not to be changed."""
    folder = tmp_path_factory.mktemp("images")
    np.save(folder / "images.npy", np.random.default_rng(0).integers(0, 256, (200, 4, 4), dtype=np.uint8))
    settings = SHORT | {"model": {"network": "dense", "hidden": [8], "latent_dim": 5}}
    return train(str(folder / "images.npy"), out=folder / "run", settings=settings).path


def test_the_reported_elbo_is_that_of_the_saved_model(images, tmp_path):
    few = {"evaluation": {"importance_draws": 100, "num_bounded": 10, "num_gaps": 10}}
    again = reevaluate(shutil.copytree(images, tmp_path / "run"), few)
    assert again.results.score("elbo") == read_results(images).score("elbo")


def test_an_interrupted_annealing_is_continued_and_leaves_nothing_behind(images, tmp_path, monkeypatch):
    monkeypatch.setattr(annealing_metrics, "anneal", partial(annealing_metrics.anneal, save_every=5))
    for name in ("whole", "interrupted"):
        shutil.copytree(images, tmp_path / name)

    def interrupt(stage, done, total):
        if stage == "annealing test examples" and done > 18 * 15:
            raise KeyboardInterrupt

    whole = reevaluate(tmp_path / "whole", FEW)
    with pytest.raises(Interrupted, match="evaluate again to continue"):
        reevaluate(tmp_path / "interrupted", FEW, callbacks=Callbacks(stage=interrupt))
    kept = sorted(path.name for path in (tmp_path / "interrupted" / "annealing").iterdir())
    assert kept == ["images-from-0.safetensors", "images-from-16.safetensors"]
    continued = reevaluate(tmp_path / "interrupted", FEW)
    assert continued.results.score("annealed-evidence") == whole.results.score("annealed-evidence")
    for path in (tmp_path / "whole", tmp_path / "interrupted"):
        assert not (path / "annealing").exists()


def test_a_run_refuses_other_data_than_it_was_trained_on(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (30, 4, 4), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    run = train(str(tmp_path / "images.npy"), out=tmp_path / "run", settings=SHORT)
    np.save(tmp_path / "images.npy", images + np.uint8(1))
    with pytest.raises(RunError, match="checksum differs"):
        reevaluate(run.path)


def test_every_check_of_a_run_knows_the_distortion_that_its_objective_allows(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (90, 4, 4), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    settings = SHORT | {
        "model": {"network": "dense", "hidden": [8], "latent_dim": 2},
        "objective": {"rate": "geco", "rate_options": {"distortion": -1e6}},
    }
    run = train(str(tmp_path / "images.npy"), out=tmp_path / "run", settings=settings)
    few = {"importance_draws": 20, "num_bounded": 4, "num_gaps": 4, "num_exact": 4}
    finding = "distortion above the allowed one"
    fitted = fit_prior(run.path, components=2).results
    evaluated = lb.evaluate(run.path, config=lb.EvaluationConfig(**few))
    again = reevaluate(run.path, {"evaluation": few}).results
    for results in (run.results, fitted, evaluated, again):
        assert finding in {check.finding.name for check in results.checks if check.finding is not None}
    assert finding in {found.name for found in diagnose_run(run.path)}
    elsewhere = lb.evaluate(run.path, images[:20], config=lb.EvaluationConfig(**few))
    assert finding not in {check.finding.name for check in elsewhere.checks if check.finding is not None}
