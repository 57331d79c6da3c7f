"""An experiment is resolved once: what was given is kept, and only what is left open is decided by the data."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

import lowerbound as lb
from lowerbound.data.files import to_collection
from lowerbound.data.objects import read_object
from lowerbound.data.raw_array import RawArray
from lowerbound.data.sources import SOURCES, Source, reading_options
from lowerbound.data.splits import pool_with_default_splits
from lowerbound.foundation.errors import ConfigError, UsageError
from lowerbound.runs.experiment import AUTO, keyword_settings, merge, resolve, tables
from lowerbound.runs.inputs import read_inputs
from lowerbound.runs.preparation import prepare
from lowerbound.runs.repeats import train_seeds
from lowerbound.runs.run import Callbacks
from lowerbound.runs.run_data import read_stored

QUICK = {"num_draws": 2, "num_exact": 2, "manifold_sizes": [2]}
IMAGES = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
SMALL = lb.Experiment(
    data=lb.DataConfig(validation="test"),
    model=lb.ModelConfig(hidden=(5,), latent_dim=3, likelihood="discretized-logistic"),
    training=lb.TrainingConfig(num_epochs=1, batch_size=20, seed=7),
    evaluation=lb.EvaluationConfig(num_draws=2, num_exact=2, manifold_sizes=(2,)),
)


@pytest.fixture(autouse=True)
def no_report(monkeypatch):
    monkeypatch.setattr("lowerbound.runs.run.write_report", lambda results, path, *messages: None)


def test_an_experiment_is_trained_as_it_is_with_keywords_and_settings_over_it(tmp_path):
    run = lb.train(IMAGES, config=SMALL, settings={"model": {"latent_dim": 2}}, epochs=2, out=tmp_path / "run")
    stored = read_stored(tmp_path / "run").experiment
    expected = replace(
        SMALL,
        data=replace(SMALL.data, source="memory"),
        # What the likelihood has to know of the data.
        model=replace(SMALL.model, latent_dim=2, likelihood_options={"num_levels": 256}),
        training=replace(SMALL.training, num_epochs=2),
    )
    assert stored == expected
    assert run.results.context["recipe"] == "custom"


def test_an_experiment_of_a_finished_run_is_trained_again_without_automatic_choices(tmp_path):
    settings = {"training": {"num_epochs": 1, "min_steps": 0}, "model": {"hidden": [4]}, "evaluation": QUICK}
    first = lb.train(IMAGES, settings=settings, out=tmp_path / "first")
    experiment = read_stored(first.path).experiment
    assert experiment.recipe == AUTO
    lb.train(IMAGES, config=experiment, out=tmp_path / "again")
    assert read_stored(tmp_path / "again").experiment == experiment


def test_a_section_given_as_a_dataclass_decides_all_its_keys(tmp_path):
    training = lb.TrainingConfig(num_epochs=1, learning_rate=2e-3)
    settings = {"training": training, "evaluation": lb.EvaluationConfig(num_draws=2, num_exact=2)}
    heard = []
    experiment = resolve("", settings)
    prepared = prepare(experiment, auto_below=settings, message=heard.append, splits=lb.split_array(IMAGES)).experiment
    assert prepared.training == training
    assert prepared.model.likelihood == "discretized-logistic"  # which is left open, and chosen
    assert [line.partition(":")[0] for line in heard][-3:] == ["likelihood", "network", "latents"]
    # Over a recipe, too: options of its likelihood do not shine through.
    model = lb.ModelConfig(hidden=(4,), likelihood="bernoulli")
    assert resolve("tutorial-dense", {"model": model}).model == model
    # And keywords go over it.
    assert resolve("", merge(tables(settings), keyword_settings(seed=3))).training == replace(training, seed=3)


def test_a_dataclass_of_another_section_is_refused():
    with pytest.raises(ConfigError, match="training takes a TrainingConfig or a table of keys, got a ModelConfig"):
        lb.train("digits", settings={"training": lb.ModelConfig()})
    with pytest.raises(UsageError, match="config and recipe are both given"):
        lb.train("digits", config=SMALL, recipe="conv")


def test_keywords_that_are_not_given_change_nothing():
    nothing = {"data": "", "latent_dim": None, "likelihood": "auto", "skip_broken": False, "epochs": None}
    assert keyword_settings(**nothing) == {}
    assert keyword_settings(seed=0, epochs=2) == {"training": {"seed": 0, "num_epochs": 2, "min_steps": 0}}


def test_a_named_source_without_a_recipe_is_prepared_like_a_file(tmp_path, monkeypatch):
    splits = lb.load_data(lb.DataConfig())
    np.save(
        tmp_path / "digits.npy", np.concatenate([splits.train.values, splits.validation.values, splits.test.values])
    )
    found = []
    for data in ({"source": "digits"}, {"source": str(tmp_path / "digits.npy"), "range": [0, 16]}):
        given, lines = {"data": data}, []
        experiment = prepare(resolve("", given), auto_below=given, message=lines.append).experiment
        found.append(
            (experiment.model, replace(experiment.training, num_epochs=1), lines[0].split(": ", 1)[1], lines[1:])
        )
    named, file = found
    assert named[:3] == file[:3] and named[2].startswith("1,797 examples of 8×8 pixels")
    assert [line for line in file[3] if "because" in line] == named[3]


def waves(config):
    values = np.random.default_rng(0).normal(1e6, 1, (80, 3, 2))
    collection = to_collection(RawArray(place="waves", values=values), reading_options(config))
    return pool_with_default_splits("waves", collection, config.split_seed)


def people(config):
    stream = np.random.default_rng(0)
    columns = {"age": stream.normal(40, 9, 80), "city": stream.choice(["Paris", "Rome"], 80)}
    return pool_with_default_splits(
        "people", to_collection(read_object(columns, place="people"), reading_options(config)), config.split_seed
    )


@pytest.mark.parametrize(("load", "shape"), [(waves, (3, 2)), (people, (2,))])
def test_a_source_of_any_shape_is_trained_and_its_test_examples_are_inputs(tmp_path, monkeypatch, load, shape):
    name = load.__name__
    source = Source(name, shape, "numbers", (64, 8, 8), "this test", "none", load)
    monkeypatch.setitem(SOURCES, name, source)
    settings = {"training": {"num_epochs": 1, "min_steps": 0}, "model": {"hidden": [4]}, "evaluation": QUICK}
    run = lb.train(name, settings=settings, out=tmp_path / "run")
    own, named = (read_inputs(run.model, inputs).examples for inputs in ([], [name]))
    assert own.event_shape == named.event_shape == shape
    np.testing.assert_allclose(named.values, own.values, rtol=1e-6)


def test_data_are_read_and_choices_made_once_for_all_seeds(tmp_path, monkeypatch):
    heard = []
    path = tmp_path / "images.npy"
    np.save(path, IMAGES)
    settings = {"data": {"source": str(path)}, "training": {"num_epochs": 1, "min_steps": 0, "seed": 4}}
    settings |= {"model": {"network": "dense", "hidden": [4]}, "evaluation": QUICK}
    callbacks = Callbacks(message=heard.append)
    runs = train_seeds(2, resolve("", settings), tmp_path / "runs", auto_below=settings, callbacks=callbacks)
    assert [read_stored(run.path).experiment.training.seed for run in runs] == [4, 5]
    assert sum(line.startswith("likelihood: ") for line in heard) == 1
    first, second = (asdict(read_stored(run.path).experiment) for run in runs)
    assert first | {"training": None} == second | {"training": None}


def test_a_run_and_its_results_are_shown_on_a_few_lines(tmp_path):
    run = lb.train(IMAGES, config=SMALL, out=tmp_path / "run")
    shown = repr(run)
    assert len(shown) < 500 and str(Path(tmp_path / "run")) in shown and "elbo" in shown and "nats" in shown


def test_what_is_left_out_of_training_is_printed_as_by_other_commands(tmp_path):
    lines = []
    rows = [f"{row / 7:.3f},{row % 3}" for row in range(60)]
    (tmp_path / "x.csv").write_text("\n".join(["a,b", *rows, "1,2,3"]))
    settings = {"data": {"source": str(tmp_path / "x.csv"), "skip_broken": True}}
    prepare(resolve("", settings), auto_below=settings, message=lines.append)
    assert [line for line in lines if "x.csv" in line][1].startswith("skipped: ")
