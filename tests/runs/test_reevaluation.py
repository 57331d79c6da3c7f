"""A finished run is evaluated again on its own data, and evaluation continues after an interruption."""

import shutil

import numpy as np
import pytest

from digits_runs import SHORT
from lowerbound.foundation.errors import Interrupted, RunError
from lowerbound.runs.reevaluation import reevaluate
from lowerbound.runs.run import Callbacks, train


def test_the_reported_elbo_is_that_of_the_saved_model(finished, tmp_path):
    few = {"evaluation": {"importance_draws": 100, "num_gaps": 10}}
    again = reevaluate(shutil.copytree(finished.path, tmp_path / "run"), few)
    assert again.results.score("elbo") == finished.results.score("elbo")


def test_an_interrupted_annealing_is_continued_and_leaves_nothing_behind(finished, tmp_path):
    settings = {
        "evaluation": {
            "num_annealed": 20, "num_simulated": 2, "importance_draws": 20, "num_bounded": 2, "num_gaps": 2,
            "annealing": {"num_temperatures": 120, "num_leapfrog": 2, "num_chains": 32},
        }
    }  # fmt: skip
    for name in ("whole", "interrupted"):
        shutil.copytree(finished.path, tmp_path / name)

    def interrupt(stage, done, total):
        if stage == "annealing test examples" and done > 18 * 120:
            raise KeyboardInterrupt

    whole = reevaluate(tmp_path / "whole", settings)
    with pytest.raises(Interrupted, match="evaluate again to continue"):
        reevaluate(tmp_path / "interrupted", settings, callbacks=Callbacks(stage=interrupt))
    kept = sorted(path.name for path in (tmp_path / "interrupted" / "annealing").iterdir())
    assert kept == ["images-from-0.safetensors", "images-from-16.safetensors"]
    continued = reevaluate(tmp_path / "interrupted", settings)
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
