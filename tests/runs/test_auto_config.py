"""What is chosen for data without a recipe fits them: it can be built, and it can score them."""

import numpy as np
import pytest

from lowerbound.data.data_kinds import kind_of
from lowerbound.data.examples import Examples
from lowerbound.foundation.schema import Column
from lowerbound.foundation.seeding import generator
from lowerbound.models.construction import build_model
from lowerbound.runs.auto_config import choose, chosen_settings
from lowerbound.runs.experiment import from_settings

RNG = np.random.default_rng(0)
TABLE = Examples(
    np.array([[1.5, 2], [np.nan, 0], [0.3, 1]], np.float32),
    1.0,
    layout="table",
    columns=(Column(name="a", kind="numeric"), Column(name="b", kind="categorical", levels=("x", "y", "z"))),
)


def images(height, width, channels=1):
    return Examples(RNG.integers(0, 256, (30, height, width, channels), np.uint8), 255.0)


def array(values, max_value=1.0):
    return Examples(values, max_value, layout="array")


CASES = {
    "grey": (images(28, 28), "discretized-logistic", "conv"),
    "colour": (images(64, 48, 3), "discretized-logistic", "resnet"),
    "odd colour": (images(9, 33, 3), "discretized-logistic", "resnet"),
    "a line of pixels": (images(1, 40), "discretized-logistic", "dense"),
    "17 levels": (Examples(RNG.integers(0, 17, (30, 8, 8, 1), np.uint8), 16.0), "discretized-logistic", "conv"),
    "black and white": (Examples(RNG.integers(0, 2, (30, 8, 8, 1), np.uint8), 1.0), "bernoulli", "conv"),
    "16-bit grey": (Examples(RNG.random((30, 16, 16, 1), np.float32), 1.0), "gaussian", "conv"),
    "levels": (array(RNG.integers(0, 256, (30, 20), np.uint8), 255.0), "discretized-logistic", "dense"),
    "counts": (array(RNG.integers(0, 900, (30, 20)).astype(np.float32)), "negative-binomial", "dense"),
    "real": (array(RNG.normal(size=(30, 4, 5)).astype(np.float32)), "gaussian-per-element", "dense"),
    "one number": (array(RNG.normal(size=(30, 1)).astype(np.float32)), "gaussian-per-element", "dense"),
    "table": (TABLE, "table", "dense"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_chosen_fits_the_data_and_every_choice_has_a_reason(case):
    examples, likelihood, network = CASES[case]
    choices = choose(examples)
    assert [choice.what for choice in choices] == ["likelihood", "network", "latents", "training"]
    assert all(choice.reason and choice.value for choice in choices)
    experiment = from_settings("auto", chosen_settings(choices))
    assert (experiment.model.likelihood, experiment.model.network) == (likelihood, network)
    stream = generator(0, "weights")
    model = build_model(experiment.model, examples.event_shape, stream, columns=examples.columns)
    model.likelihood.convention(examples.support)
    assert 1 <= experiment.training.batch_size <= max(8, len(examples))


def test_a_choice_that_someone_else_has_made_is_not_made():
    by_hand = {"model": {"likelihood": "bernoulli"}, "training": {"num_epochs": 3}}
    left = [choice.what for choice in choose(images(28, 28), by_hand)]
    assert left == ["network", "latents", "training"]


KEPT = "the weights of the best epoch on held-out examples are kept"
USUAL = "this suits networks of these sizes"
SMALL = f"small data sets need more epochs; {KEPT}"
RATE = "one-cycle learning rate up to 0.001"


@pytest.mark.parametrize(
    ("num", "given", "value", "reason"),
    [
        (30, {}, f"batches of 8, 20 epochs but at least 3,000 steps, {RATE}", SMALL),
        (115_000, {}, f"batches of 64, 20 epochs, {RATE}", KEPT),
        (115_000, {"batch_size": 2000}, f"20 epochs but at least 3,000 steps, {RATE}", SMALL),
        (30, {"batch_size": 16, "num_epochs": 2, "min_steps": 0}, RATE, USUAL),
        (30, {"num_epochs": 7}, f"batches of 8, 7 epochs but at least 3,000 steps, {RATE}", SMALL),
        (30, {"num_epochs": 7, "min_steps": 0}, f"batches of 8, {RATE}", USUAL),
        (30, {"min_steps": 10}, f"batches of 8, 20 epochs, {RATE}", KEPT),
        (
            30,
            {"learning_rate": 0.01, "batch_size": 4, "num_epochs": 1, "min_steps": 0},
            "one-cycle learning rate",
            USUAL,
        ),
    ],
)
def test_the_training_is_described_as_it_will_be_with_the_users_settings(num, given, value, reason):
    few = Examples(np.zeros((num, 1), np.uint8), 1.0, layout="array")
    (training,) = (choice for choice in choose(few, {"training": given}) if choice.what == "training")
    assert (training.value, training.reason) == (value, reason)


@pytest.mark.parametrize(
    ("examples", "given", "value"),
    [
        (images(28, 28), {"channels": [8, 16, 32]}, "conv (3 stages)"),
        (images(64, 64), {"channels": [8, 8]}, "resnet (2 stages)"),
        (images(64, 64), {}, "resnet (4 stages)"),
        (TABLE, {"hidden": [7]}, "dense (7 units)"),
        (TABLE, {"hidden": []}, "dense (no hidden layer)"),
    ],
)
def test_the_network_is_described_as_it_will_be_with_the_users_settings(examples, given, value):
    (network,) = (choice for choice in choose(examples, {"model": given}) if choice.what == "network")
    assert network.value == value


def test_floats_that_are_bytes_divided_by_255_are_told_from_others():
    levels = RNG.integers(0, 256, (30, 8, 8, 1)).astype(np.float32) / 255
    assert kind_of(Examples(levels, 1.0)) == "grey"
    assert kind_of(Examples(levels + np.float32(1e-3) * RNG.random(levels.shape, np.float32), 2.0)) == "unit"
