"""A training writes a whole run directory, or leaves nothing behind."""

import json
import tomllib

import numpy as np
import pytest
import torch

import lowerbound as lb
import lowerbound.runs.resuming
from digits_runs import SHORT
from lowerbound.foundation.errors import DataError, LowerboundError, UsageError
from lowerbound.runs.experiment import merge
from lowerbound.runs.run import train

LOGISTIC = {"model": {"likelihood": "discretized-logistic"}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """What `train` returned, and wrote with the figures of its report; not to be changed."""
    return train("digits", recipe="dense", out=tmp_path_factory.mktemp("runs") / "dense", settings=SHORT)


def test_a_run_directory_holds_what_is_promised(finished):
    names = {path.name for path in finished.path.iterdir()}
    assert names == {
        "config.toml",
        "model.safetensors",
        "calibration.safetensors",
        "metrics.jsonl",
        "frames",
        "results.json",
        "results.safetensors",
        "report.html",
        "figures",
        "checkpoints",
    }
    config = tomllib.loads((finished.path / "config.toml").read_text())
    assert config["training"]["num_epochs"] == 3
    assert config["data"]["source"] == "digits"
    assert len(config["run"]["data_checksum"]) == 64


def test_a_likelihood_on_levels_takes_their_number_from_the_data_unless_it_is_said(tmp_path):
    run = train("digits", recipe="dense", out=tmp_path / "run", settings=merge(SHORT, LOGISTIC))
    assert run.model.vae.config.likelihood_options == {"num_levels": 17}
    wrong = merge(SHORT, {"model": {**LOGISTIC["model"], "likelihood_options": {"num_levels": 256}}})
    with pytest.raises(DataError, match="the data have 17 levels, but likelihood 'discretized-logistic' needs 256"):
        train("digits", recipe="dense", out=tmp_path / "wrong", settings=wrong)


def test_the_returned_model_is_the_one_on_disk(finished):
    x = np.random.default_rng(0).integers(0, 17, (4, 8, 8))
    loaded = lb.load(finished.path)
    assert isinstance(loaded, lb.TrainedModel) and loaded.schema == finished.model.schema
    torch.testing.assert_close(loaded.encode(x).mean, finished.model.encode(x).mean)


def test_an_output_directory_that_is_not_empty_is_refused_and_left_alone(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")}
    with pytest.raises(UsageError, match=r"is not empty; choose another directory, or resume"):
        train("digits", out=finished.path)
    assert before == {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")}


def test_a_recipe_is_a_file_by_its_path_too(tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text("[objective]\nrate_weight = -1.0\n")
    for given in (recipe, str(recipe)):
        with pytest.raises(LowerboundError, match=r"objective\.rate_weight"):
            train("digits", recipe=given, out=tmp_path / "run")


def test_a_file_where_the_directory_should_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError):
        train("digits", out=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_refused_experiment_leaves_nothing_behind(tmp_path):
    with pytest.raises(LowerboundError):
        train("no-such-source", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_results_are_json_that_states_its_version(finished):
    content = json.loads((finished.path / "results.json").read_text())
    assert content["format_version"] == 3
    assert {"name", "value", "standard_error", "unit", "split", "convention"} <= set(content["scores"][0])
