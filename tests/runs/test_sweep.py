"""Sweeps are trained as their runs would be alone, checked before anything is trained, and go on where they stopped."""

import csv
import json
import shutil

import numpy as np
import pytest

from digits_runs import assert_same_weights
from lowerbound.evaluation.results import read_results
from lowerbound.foundation.errors import ConfigError, Interrupted, LowerboundError, UnknownName, UsageError
from lowerbound.runs.experiment import merge
from lowerbound.runs.run import Callbacks, train
from lowerbound.runs.sweep import resume_sweep, sweep

BETA = "objective.rate_weight"
IMAGES = np.random.default_rng(0).integers(0, 256, (60, 6, 6), np.uint8)
TINY = {
    "model": {"hidden": [4]},
    "training": {"num_epochs": 2, "min_steps": 0, "batch_size": 16},
    "evaluation": {"num_draws": 2, "num_exact": 2, "manifold_sizes": [2]},
}


def started(out, data, over=None, **options):
    given = {"recipe": "dense", "settings": TINY} | options
    return sweep(data, over={BETA: [0.5, 2]} if over is None else over, out=out, **given)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "images.npy"
    np.save(path, IMAGES)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data):
    """Two points with two seeds; not to be changed."""
    return started(tmp_path_factory.mktemp("sweep") / "whole", data, seeds=2)


def stops_after(num_steps):
    """Callbacks that ask for a stop once that many steps were asked about."""
    steps = iter(range(num_steps))
    return Callbacks(should_stop=lambda: next(steps, None) is None)


def times(path):
    files = (file for name in ("report.html", "metrics.jsonl") for file in path.rglob(name))
    return {str(file): file.stat().st_mtime_ns for file in files}


def test_every_run_is_the_one_that_training_alone_gives(whole, data, tmp_path):
    assert [run.label for run in whole.runs] == [
        "rate_weight=0.5, seed 0", "rate_weight=0.5, seed 1", "rate_weight=2, seed 0", "rate_weight=2, seed 1",
    ]  # fmt: skip
    settings = merge(TINY, {"objective": {"rate_weight": 2}, "training": {"seed": 1}})
    alone = train(data, recipe="dense", settings=settings, out=tmp_path / "alone")
    assert_same_weights(whole.runs[3].path, alone.path)
    assert whole.runs[3].path == whole.path / "rate_weight-2,seed-1"
    values = [run.results.score("elbo").value for run in whole.runs[2:]]
    assert whole.points[1].score("elbo").value == pytest.approx(np.mean(values))


def test_the_folder_has_the_page_and_its_numbers(whole):
    assert json.loads((whole.path / "sweep.json").read_text()) == json.loads(json.dumps(whole.as_json()))
    rows = list(csv.DictReader((whole.path / "sweep.csv").open()))
    assert [float(row["elbo"]) for row in rows] == [run.results.score("elbo").value for run in whole.runs]
    assert "rate_weight-2%2Cseed-1/report.html" in (whole.path / "sweep.html").read_text()


def test_an_interrupted_sweep_goes_on_to_the_same_weights_and_keeps_what_is_finished(whole, data, tmp_path):
    out = tmp_path / "sweep"
    # Each run has 2 epochs of 3 steps: this is within the second one.
    with pytest.raises(Interrupted, match="1 of 4 runs are finished") as caught:
        started(out, data, seeds=2, callbacks=stops_after(10))
    assert (caught.value.hint, caught.value.path) == ("sweep", out)
    assert not (out / "sweep.html").exists()
    before = times(out / "rate_weight-0.5,seed-0")
    said = []
    resumed = resume_sweep(out, callbacks=Callbacks(message=said.append))
    assert times(out / "rate_weight-0.5,seed-0") == before
    assert "run 1 of 4: rate_weight=0.5, seed 0; already finished" in said
    assert any(line.startswith("resuming after step") for line in said)
    for one, other in zip(whole.runs, resumed.runs, strict=True):
        assert_same_weights(one.path, other.path)
    after = times(out)
    assert resume_sweep(out).as_json() == resumed.as_json() == started(out, data, seeds=2).as_json()
    assert times(out) == after


def test_a_run_killed_before_its_first_checkpoint_or_before_its_report_is_completed(whole, tmp_path):
    out = tmp_path / "sweep"
    shutil.copytree(whole.path, out)
    killed = out / "rate_weight-2,seed-0"
    for path in killed.iterdir():
        if path.name != "config.toml":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (out / "rate_weight-2,seed-1" / "report.html").unlink()
    resumed = resume_sweep(out)
    assert_same_weights(resumed.runs[2].path, whole.runs[2].path)
    assert (resumed.runs[3].path / "report.html").is_file()


def test_a_sweep_goes_on_with_more_values_and_seeds_and_refuses_others_leaving_it_as_it_was(whole, data, tmp_path):
    out = tmp_path / "sweep"
    shutil.copytree(whole.path, out)
    before = times(out)
    others = {"over": {BETA: [0.5, 3]}}, {"recipe": "conv"}, {"settings": merge(TINY, {"model": {"hidden": [5]}})}
    for options in others:
        with pytest.raises(ConfigError, match="a sweep that goes on keeps its settings"):
            started(out, data, **{"seeds": 2} | options)
    assert times(out) == before
    more = started(out, data, over={BETA: [0.5, 1, 2]}, seeds=2)
    assert len(more.runs) == 6
    assert before.items() <= times(out).items()


def test_a_run_of_another_experiment_in_the_place_of_a_point_is_refused(whole, data, tmp_path):
    out = tmp_path / "sweep"
    shutil.copytree(whole.path, out)
    shutil.rmtree(out / "rate_weight-2,seed-1")
    (out / "rate_weight-2,seed-0").rename(out / "rate_weight-2,seed-1")
    with pytest.raises(UsageError, match="a run with other settings or data"):
        resume_sweep(out)


@pytest.mark.parametrize(
    ("over", "kind", "reason"),
    [
        ({BETA: [1, 2, -1]}, ConfigError, "rate_weight=-1: .*at least 0, got -1"),
        ({"model.network": ["dense", "conv"]}, ConfigError, "network=conv: .*needs images"),
        ({"model.likelihood": ["gaussian", "poisson"]}, LowerboundError, "likelihood=poisson: "),
        ({"model.likelihood_options.num_levels": [3, "x"]}, ConfigError, "num_levels"),
        ({"data.source": ["digits", "minst"]}, UnknownName, "minst"),
    ],
)
def test_a_bad_value_in_the_last_point_is_one_line_before_anything_is_trained(tmp_path, over, kind, reason):
    rows = None if "data.source" in over else np.random.default_rng(0).normal(size=(40, 3))
    settings = TINY if "model.likelihood" in over else merge(TINY, {"model": {"likelihood": "gaussian"}})
    with pytest.raises(kind, match=reason) as caught:
        started(tmp_path / "new" / "sweep", rows, over=over, settings=settings)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_files_is_refused(data, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not the folder of a sweep"):
        started(tmp_path, data)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_run_that_diverges_is_named_and_the_others_are_trained(data, tmp_path):
    found = started(tmp_path / "sweep", data, over={"training.learning_rate": [1e30, 1e-3]})
    assert list(found.failures) == ["learning_rate=1e+30"]
    assert found.points[1].score("elbo") and not found.points[0].scores()
    assert "learning_rate=1e+30: the loss became" in (found.path / "sweep.html").read_text()


def test_data_in_memory_are_swept_and_go_on_when_they_are_given_again(whole, tmp_path):
    out = tmp_path / "sweep"
    with pytest.raises(Interrupted):
        started(out, IMAGES, callbacks=stops_after(10))
    with pytest.raises(UsageError, match="of data in memory"):
        resume_sweep(out)
    found = started(out, IMAGES)
    assert_same_weights(found.runs[1].path, whole.runs[2].path)
    with pytest.raises(UsageError, match="save them, or leave out evaluate"):
        started(out, IMAGES, evaluate=True)


def test_without_a_recipe_each_point_is_chosen_to_fit_the_data_and_choices_are_told_once(data, tmp_path):
    said = []
    found = started(
        tmp_path / "sweep", data, over={"model.latent_dim": [1, 2]}, recipe="", callbacks=Callbacks(message=said.append)
    )
    assert [run.results.context["config"]["model"]["latent_dim"] for run in found.runs] == [1, 2]
    assert found.runs[0].results.context["config"]["model"]["likelihood"] == "discretized-logistic"
    assert len([line for line in said if line.startswith("likelihood: ")]) == 1
    assert said.index("run 1 of 2: latent_dim=1") > [line.startswith("sweep of 2 runs") for line in said].index(True)


def test_with_evaluate_every_run_has_the_full_evaluation_once(data, tmp_path):
    few = {"num_bounded": 2, "num_gaps": 2, "importance_draws": 4}
    settings = merge(TINY, {"evaluation": few, "training": {"num_epochs": 1}})
    found = started(tmp_path / "sweep", data, settings=settings, evaluate=True)
    assert all(read_results(run.path).findings is not None for run in found.runs)
    assert found.points[0].score("mutual-information")
    before = times(found.path)
    assert started(tmp_path / "sweep", data, settings=settings, evaluate=True).as_json() == found.as_json()
    assert times(found.path) == before


def test_points_may_differ_in_what_their_models_are_given(data, tmp_path):
    labels = ["a", "b", "c"] * 20
    over = {"model.condition_on": [[], ["label"]]}
    swept = sweep(IMAGES, labels=labels, over=over, recipe="dense", settings=TINY, out=tmp_path / "sweep")
    assert [run.label for run in swept.runs] == ["condition_on=[]", 'condition_on=["label"]']
    settings = merge(TINY, {"model": {"condition_on": ["label"]}})
    alone = train(IMAGES, labels, recipe="dense", settings=settings, out=tmp_path / "alone")
    assert_same_weights(swept.runs[1].path, alone.path)
