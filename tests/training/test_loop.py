import math
from dataclasses import replace
from functools import cache

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lowerbound.data.batches import Batches, scaled
from lowerbound.foundation.errors import ConfigError, Interrupted, NonFiniteLoss
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.objectives.objective import Objective
from lowerbound.runs.experiment import resolve
from lowerbound.training.checkpoint import load_checkpoint
from lowerbound.training.config import TrainingConfig
from lowerbound.training.loop import fit, training_steps
from lowerbound.training.optimisers import adam

CONFIG = TrainingConfig(num_epochs=3, batch_size=8, schedule="one-cycle", learning_rate=1e-2, log_every=1)


def new_model(network="dense", **options):
    return build_model(
        ModelConfig(network=network, hidden=(8,), channels=(4,), **options), (1, 6, 5), generator(0, "w")
    )


def train(model, splits, config=CONFIG, objective=None, **options):
    return list(training_steps(model, splits, objective or Objective(), config, **options))


def without_times(record):
    return replace(record, seconds=0.0, examples_per_second=0.0, seconds_left=0.0)


def assert_same_weights(first, second):
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


@cache
def uninterrupted(network, config, splits):
    """The model that a training ends with, and its records."""
    whole = new_model(network)
    return whole, {(r.step, r.validation is None): without_times(r) for r in train(whole, splits, config)}


def test_training_twice_gives_the_same_weights_to_the_bit(splits):
    first, second = new_model(), new_model()
    train(first, splits)
    train(second, splits)
    assert_same_weights(first, second)


def test_another_seed_gives_other_weights(splits):
    first, second = new_model(), new_model()
    train(first, splits)
    train(second, splits, replace(CONFIG, seed=1))
    assert not torch.equal(first.decoder.output.weight, second.decoder.output.weight)


@pytest.mark.parametrize(
    ("network", "computing"),
    [
        ("dense", {}),
        ("conv", {}),
        ("conv", {"optimiser": "muon"}),
        ("dense", {"adam_epsilon_hat": True, "adam_epsilon": 1e-3}),
        ("conv", {"precision": "bfloat16"}),
        ("conv", {"speed": "plain"}),
    ],
)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(killed_after=st.integers(7, 17), checkpoint_every=st.integers(1, 6))
def test_training_killed_after_any_step_and_resumed_is_identical_to_the_bit(
    splits, tmp_path_factory, network, computing, killed_after, checkpoint_every
):
    config = replace(CONFIG, checkpoint_every=checkpoint_every, **computing)
    whole, expected = uninterrupted(network, replace(config, checkpoint_every=CONFIG.checkpoint_every), splits)
    folder = tmp_path_factory.mktemp("checkpoints")
    for record in training_steps(new_model(network), splits, Objective(), config, checkpoints=folder):
        if record.step == killed_after:
            break  # as SIGKILL would: nothing more is written
    resumed = new_model(network)
    records = train(resumed, splits, config, checkpoints=folder, resume=load_checkpoint(folder))
    assert_same_weights(whole, resumed)
    for record in records:
        assert without_times(record) == expected[record.step, record.validation is None]


STATEFUL = Objective(
    rate="geco",
    rate_options={"distortion": 12.0, "speed": 1e-2},
    rate_warm_up=0.5,
    rate_cycles=2,
    penalties={"factor": 2.0},
    penalty_options={"factor": {"hidden": 8, "num_layers": 2}},
)


def test_the_state_of_an_objective_is_resumed_to_the_bit(splits, tmp_path):
    """GECO's multiplier, the discriminator and its optimiser are those of an uninterrupted training."""
    config = replace(CONFIG, checkpoint_every=5)
    whole, resumed = new_model(), new_model()
    expected = {record.step: without_times(record) for record in training_steps(whole, splits, STATEFUL, config)}
    for record in training_steps(new_model(), splits, STATEFUL, config, checkpoints=tmp_path):
        if record.step == 11:
            break
    resume = load_checkpoint(tmp_path)
    records = list(training_steps(resumed, splits, STATEFUL, config, checkpoints=tmp_path, resume=resume))
    assert_same_weights(whole, resumed)
    assert records[-1].train.penalties["geco"] != 1
    assert all(without_times(record) == expected[record.step] for record in records)


def test_geco_reaches_its_distortion_with_a_finite_multiplier(splits):
    goal = Objective(rate="geco", rate_options={"distortion": 7.0, "speed": 2e-3})
    config = replace(CONFIG, num_epochs=300, learning_rate=1e-2, schedule="constant")
    last = list(training_steps(new_model(), splits, goal, config))[-1]
    free = list(training_steps(new_model(), splits, Objective(), config))[-1]
    assert abs(last.train.distortion - 7.0) < 0.5 * abs(free.train.distortion - 7.0)
    assert last.train.rate < 0.6 * free.train.rate


@pytest.mark.parametrize(
    "parts",
    [
        {"prior": "mixture-of-normals", "prior_options": {"num_components": 4}},
        {"prior": "vamp", "prior_options": {"num_components": 4}},
        {"prior": "flow", "prior_options": {"hidden": 8}},
        {"posterior": "iaf", "posterior_options": {"hidden": 8, "context": 3}},
        {"posterior": "vq", "posterior_options": {"num_codes": 4, "code_dim": 1, "least_use": 0.5}},
        {"levels": (3, 2), "level_hidden": (5,), "hierarchy": "ladder"},
        {"levels": (3, 2), "level_hidden": (5,), "hierarchy": "residual"},
        {"levels": (3, 2), "level_hidden": (5,), "hierarchy": "bottom-up"},
    ],
    ids=["mixture", "vamp", "flow", "iaf", "vq", "ladder", "residual", "bottom-up"],
)
def test_learned_priors_and_posteriors_are_resumed_to_the_bit(splits, tmp_path, parts):
    whole, killed, resumed = (new_model(**parts) for _ in range(3))
    train(whole, splits)
    part = "posterior" if "posterior" in parts else "prior"
    before, after = (list(getattr(model, part).state_dict().values()) for model in (killed, whole))
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    for record in training_steps(killed, splits, Objective(), CONFIG, checkpoints=tmp_path):
        if record.step == 9:
            break
    train(resumed, splits, checkpoints=tmp_path, resume=load_checkpoint(tmp_path))
    assert_same_weights(whole, resumed)


def test_a_stop_request_is_honoured_between_two_steps_with_the_state_saved(splits, tmp_path):
    whole = new_model()
    train(whole, splits)
    countdown = iter([False] * 8 + [True])
    with pytest.raises(Interrupted):
        train(new_model(), splits, checkpoints=tmp_path, should_stop=lambda: next(countdown))
    checkpoint = load_checkpoint(tmp_path)
    assert (checkpoint.state["epoch"], checkpoint.state["batch"]) == (1, 3)
    resumed = new_model()
    train(resumed, splits, checkpoints=tmp_path, resume=checkpoint)
    assert_same_weights(whole, resumed)


def test_a_finished_training_can_be_given_more_epochs(splits, tmp_path):
    config = replace(CONFIG, schedule="constant")
    whole, split = new_model(), new_model()
    train(whole, splits, config)
    train(new_model(), splits, replace(config, num_epochs=1), checkpoints=tmp_path)
    train(split, splits, config, checkpoints=tmp_path, resume=load_checkpoint(tmp_path))
    assert_same_weights(whole, split)


def test_the_best_weights_are_restored_and_training_stops_when_patience_runs_out(splits):
    # A learning rate that rises beyond what is stable: the first epochs are the best.
    config = TrainingConfig(num_epochs=50, batch_size=8, learning_rate=0.3, warm_up=40.0, patience=3)
    model = new_model()
    records = [record for record in train(model, splits, config) if record.validation]
    best = max(records, key=lambda record: record.validation.objective)
    assert len(records) == best.epoch + 3 < 50
    assert records[-1].best_epoch == best.epoch

    noise = generator(config.seed, "watch")
    loss = Objective()(model.sample_posterior(scaled(splits.validation), noise))
    assert float(loss.objective.mean()) == pytest.approx(best.validation.objective, abs=1e-5)


def test_what_is_watched_is_the_objective_at_its_final_weight_whatever_the_warm_up(splits):
    objective = Objective(rate_weight=4.0, rate_warm_up=100.0)
    records = [r for r in train(new_model(), splits, objective=objective) if r.validation]
    for record in records:
        assert record.rate_scale < 0.05
        terms = record.validation
        assert terms.objective == pytest.approx(-terms.distortion - 4 * terms.rate, rel=1e-5)
        assert terms.elbo == pytest.approx(-terms.distortion - terms.rate, rel=1e-5)


def test_an_epochs_record_averages_over_examples_not_over_batches(splits):
    # At a vanishing learning rate the model stays, so every image's term can be computed apart.
    config = TrainingConfig(num_epochs=1, batch_size=8, learning_rate=1e-30)
    deterministic = {"posterior": "point-mass"}
    model = new_model(**deterministic)
    (record,) = train(model, splits, config, Objective(rate="none"))
    x = scaled(splits.train)
    expected = -model.decode(model.encode(x).mean).log_prob(x).mean().detach()
    assert record.train.distortion == pytest.approx(float(expected), rel=1e-5)


def test_the_learning_rate_follows_its_schedule_and_warm_up(splits):
    config = replace(CONFIG, schedule="cosine", warm_up=0.5)
    rates = [record.learning_rate for record in train(new_model(), splits, config)]
    steps = range(len(rates))
    expected = [1e-2 * 0.5 * (1 + math.cos(math.pi * s / 18)) * min(1, (s + 1) / 3) for s in steps]
    assert rates == pytest.approx(expected)


def test_adams_second_moments_start_where_they_are_told_to(splits):
    model, start = new_model(), new_model()
    config = TrainingConfig(num_epochs=1, batch_size=1000, adam_second_moment=0.5, adam_epsilon=1e-3)
    train(model, splits, config)
    (batch,) = Batches(splits.train, 1000).shuffled(config.seed, 0)
    samples = start.sample_posterior(batch.x, generator(config.seed, "training"))
    (gradient,) = torch.autograd.grad(Objective()(samples).value, start.decoder.output.bias)
    # Kingma and Ba, arXiv:1412.6980, Algorithm 1, at t = 1 with v_0 = 0.5.
    second = (0.999 * 0.5 + 0.001 * gradient**2) / 0.001
    expected = start.decoder.output.bias - 1e-3 * gradient / (second.sqrt() + 1e-3)
    torch.testing.assert_close(model.decoder.output.bias, expected, rtol=1e-5, atol=1e-9)


def test_burdas_exact_recipe_takes_the_published_optimisers_steps():
    config = resolve("burda-vae-exact").training
    model = new_model().double()
    optimiser = adam(model.parameters(), config)
    bias = model.decoder.output.bias
    expected, first, second = bias.detach().clone(), torch.zeros_like(bias), torch.ones_like(bias)
    noise = generator(0, "gradients")
    for step in range(1, 40):
        # Theirs is the gradient of the sum over 20 images, ours of their mean.
        gradient = torch.randn(bias.shape, generator=noise, dtype=torch.float64)
        first = 0.99 * first + 0.01 * 20 * gradient
        second = 0.999 * second + 0.001 * (20 * gradient) ** 2
        rate = 1e-3 * math.sqrt(1 - 0.999**step) / (1 - 0.99**step)
        expected -= rate * first / (second.sqrt() + 1e-4)
        bias.grad = gradient
        optimiser.step()
    torch.testing.assert_close(bias.detach(), expected, rtol=1e-12, atol=1e-15)


def test_small_data_are_passed_over_until_there_are_enough_steps(splits):
    config = replace(CONFIG, num_epochs=1, min_steps=20)
    records = train(new_model(), splits, config)
    assert records[-1].num_steps == 24  # 6 batches an epoch, 4 epochs


def test_runaway_training_stops_with_the_reason(splits):
    with pytest.raises(NonFiniteLoss, match=r"training\.learning_rate"):
        train(new_model(), splits, replace(CONFIG, schedule="constant", learning_rate=1e30))


def test_an_objective_that_does_not_go_with_the_posterior_is_refused_before_the_first_step(splits):
    with pytest.raises(ConfigError, match="point mass"):
        train(new_model(posterior="point-mass"), splits, objective=Objective(rate="analytic"))


def test_training_improves_the_bound(splits):
    records = [r for r in train(new_model(), splits, replace(CONFIG, num_epochs=20)) if r.validation]
    assert records[-1].validation.elbo > records[0].validation.elbo + 3


def test_fit_trains_when_called_and_returns_the_record_of_the_best_epoch_whose_weights_the_model_has(splits):
    called, iterated = new_model(), new_model()
    heard = []
    best = fit(called, splits, config=CONFIG, progress=heard.append)
    records = train(iterated, splits)
    assert_same_weights(called, iterated)
    assert [without_times(record) for record in heard] == [without_times(record) for record in records]
    assert best.is_best and best.epoch == records[-1].best_epoch
    assert best.validation.objective == max(record.validation.objective for record in records if record.validation)
    assert not called.training
