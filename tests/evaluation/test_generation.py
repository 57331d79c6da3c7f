"""The first examples that are drawn are the same however many follow, whoever asks for them."""

import csv

import numpy as np
import pytest
import torch
from scipy import stats

from lowerbound.data.table_schema import Column
from lowerbound.estimator import VAE
from lowerbound.evaluation import generation
from lowerbound.evaluation.generation import codes_from_prior, drawn_examples, expected_examples
from lowerbound.foundation.seeding import content_noise, generator
from lowerbound.inference import tasks
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.probability.likelihoods import LIKELIHOODS
from lowerbound.serving.explorer.loaded_run import load_run, sample_prior
from lowerbound.serving.service.operations import OPERATIONS, InferenceRequest, compute
from untrained_models import untrained_run

COLUMNS = (
    Column(name="height", kind="numeric"),
    Column(name="visits", kind="count"),
    Column(name="is_new", kind="binary", levels=("no", "yes")),
    Column(name="city", kind="categorical", levels=("Bonn", "Lyon", "Oslo")),
)
NUMBERS = (1, 5, 16, 17, 40)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (30, 8, 9, 1), np.uint8)
ROWS = RNG.poisson(9.0, (60, 3)).astype(np.float64) / 4


def built(likelihood, network="dense", latent_dim=20):
    """A model of new weights; more latents than torch draws one after the other."""
    config = ModelConfig(
        network=network, hidden=(16,), channels=(4,), latent_dim=latent_dim, likelihood=likelihood, output_bias="mean"
    )
    shape = (len(COLUMNS),) if likelihood == "table" else (1, 6, 5)
    statistics = torch.full(shape, 0.5), torch.ones(shape)
    columns = COLUMNS if likelihood == "table" else ()
    return build_model(config, shape, generator(0, "weights"), *statistics, columns=columns).eval()


def assert_first_are_the_same(draw):
    most = np.asarray(draw(NUMBERS[-1]))
    for number in NUMBERS[:-1]:
        fewer = np.asarray(draw(number))
        assert len(fewer) == number
        np.testing.assert_array_equal(fewer, most[:number])
    assert (most[0] != most[1]).any()


@pytest.mark.parametrize("what", [codes_from_prior, expected_examples, drawn_examples])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_first_are_the_same_to_the_bit_under_every_likelihood(likelihood, what):
    model = built(likelihood)
    assert_first_are_the_same(lambda num: what(model, num, seed=3, temperature=1.5))


@pytest.mark.parametrize("network", ["conv", "resnet"])
def test_the_first_are_the_same_to_the_bit_from_every_network(network):
    model = built("bernoulli", network)
    assert_first_are_the_same(lambda num: expected_examples(model, num, seed=3))


def test_expected_and_drawn_examples_use_the_codes_from_the_prior():
    model = built("gaussian")
    z = codes_from_prior(model, 5, 1, 0.5)
    with torch.no_grad():
        torch.testing.assert_close(expected_examples(model, 5, 1, 0.5), model.decode(z).mean)
    again = torch.cat([drawn_examples(model, 5, 1, 0.5) for _ in range(2)])
    assert torch.equal(again[:5], again[5:])
    assert not torch.equal(drawn_examples(model, 5, 2, 0.5), again[:5])


def test_draws_have_the_spread_of_the_prior_and_of_the_likelihood():
    model = built("gaussian", latent_dim=2)
    z = codes_from_prior(model, 4000, 0)
    torch.testing.assert_close(z.mean(0), torch.zeros(2), rtol=0, atol=4 / 4000**0.5)
    torch.testing.assert_close(z.var(0), torch.ones(2), rtol=0, atol=4 * (2 / 4000) ** 0.5)
    noise = drawn_examples(model, 4000, 0) - expected_examples(model, 4000, 0)
    torch.testing.assert_close(noise.var(0), torch.ones(1, 6, 5), rtol=0, atol=5 * (2 / 4000) ** 0.5)


@pytest.fixture(scope="module")
def images_run(tmp_path_factory):
    return untrained_run(tmp_path_factory.mktemp("images") / "run", IMAGES)


@pytest.fixture(scope="module")
def rows_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    with (folder / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "c"])
        writer.writerows(ROWS.tolist())
    return untrained_run(folder / "run", str(folder / "rows.csv"))


def columns_of(rows):
    return np.stack([np.asarray(column, np.float64) for column in rows.values()], axis=1)


def test_a_trained_models_first_images_and_rows_are_the_same(images_run, rows_run):
    assert_first_are_the_same(lambda num: images_run.generate(num, seed=2))
    assert_first_are_the_same(lambda num: columns_of(rows_run.generate(num, seed=2)))


def test_the_commands_first_images_and_rows_are_the_same_and_those_of_a_trained_model(images_run, rows_run, tmp_path):
    def files(num):
        folder = tasks.sample(images_run.path, num, seed=2, folder=tmp_path / f"{num}")
        return [file.read_bytes() for file in sorted(folder.iterdir())]

    assert files(12)[:5] == files(5) and len(files(13)) == 13
    for num in (5, 12):
        path = tasks.sample(rows_run.path, num, seed=2, out=tmp_path / f"{num}.csv")
        with path.open() as file:
            written = np.array([list(map(float, row)) for row in list(csv.reader(file))[1:]])
        np.testing.assert_allclose(written, columns_of(rows_run.generate(12, seed=2))[:num], rtol=1e-6)


def test_the_services_first_examples_are_the_same_and_those_of_a_trained_model(rows_run):
    def generated(num, name, others=()):
        requests = [*others, InferenceRequest(num_examples=num, seed=2, sample=True)]
        return compute(OPERATIONS["generate"], rows_run.vae, requests)[-1][name]

    assert_first_are_the_same(lambda num: generated(num, "z"))
    assert_first_are_the_same(lambda num: generated(num, "sample"))
    beside = generated(5, "sample", others=[InferenceRequest(num_examples=3, seed=9)])
    np.testing.assert_array_equal(beside, generated(5, "sample"))
    np.testing.assert_array_equal(beside, drawn_examples(rows_run.vae, 5, 2))
    z = RNG.normal(size=(40, rows_run.vae.latent_dim)).astype(np.float32)

    def decoded(num):
        request = InferenceRequest(num_examples=num, seed=2, sample=True, x=z[:num])
        return compute(OPERATIONS["decode"], rows_run.vae, [request])[0]["sample"]

    np.testing.assert_allclose(decoded(7), decoded(40)[:7], rtol=1e-5)


def test_the_explorers_first_codes_are_the_same_and_those_of_a_trained_model(images_run):
    space = load_run(images_run.path, "cpu")
    assert_first_are_the_same(lambda num: sample_prior(space, num, 1.0, 2))
    np.testing.assert_array_equal(sample_prior(space, 4, 1.0, 2), codes_from_prior(images_run.vae, 9, 2)[:4].numpy())


@pytest.mark.parametrize("rows", [ROWS, np.round(ROWS), ROWS > 2], ids=["numbers", "counts", "binary"])
def test_the_estimators_first_rows_are_the_same(rows):
    likelihood = "negative-binomial" if (rows == np.round(rows)).all() and rows.max() > 1 else "auto"
    fitted = VAE(num_epochs=1, likelihood=likelihood).fit(rows.astype(np.float64))
    assert_first_are_the_same(fitted.sample)


def test_a_reconstruction_by_draws_can_be_seeded_from_the_values(images_run):
    x = torch.rand(6, 1, 8, 9, generator=generator(0, "x"))
    vae = images_run.vae

    def reconstructed(x):
        with torch.no_grad():
            return vae.reconstruct(x, content_noise(x, 0, "reconstruction"))

    torch.testing.assert_close(reconstructed(x[2:4]), reconstructed(x)[2:4])


@pytest.fixture
def identity_like():
    """A decoder whose only two pixels are the two latents themselves."""
    config = ModelConfig(hidden=(), likelihood="gaussian", likelihood_options={"sigma": 0.1})
    model = build_model(config, (1, 1, 2), generator(0, "weights"))
    model.decoder.output.weight.data = torch.eye(2)
    return model


def test_the_first_latent_grows_to_the_right_and_the_second_upwards(identity_like):
    horizontal, vertical = np.array([0.1, 0.5, 0.9]), np.array([0.2, 0.6])
    grid = generation.manifold(identity_like, horizontal, vertical).reshape(2, 3, 2)
    np.testing.assert_allclose(grid[..., 0], np.tile(horizontal, (2, 1)), rtol=1e-6)
    np.testing.assert_allclose(grid[..., 1], np.tile(vertical[::-1, None], (1, 3)), rtol=1e-6)


def test_the_quantile_axis_cuts_the_prior_into_equal_parts(identity_like):
    axis = generation.quantile_axes(identity_like, 20)[:, 0]
    np.testing.assert_allclose(stats.norm.cdf(axis), (np.arange(20) + 0.5) / 20, atol=1e-6)


def test_a_traversal_changes_its_own_dimension_alone(identity_like):
    start = torch.tensor([0.3, 0.4])
    rows = generation.traversals(identity_like, [0, 1], start).reshape(2, generation.TRAVERSAL_STEPS, 2)
    axis = np.clip(generation.quantile_axes(identity_like, generation.TRAVERSAL_STEPS)[:, 0], 0, 1)
    np.testing.assert_allclose(rows[0], np.stack([axis, np.full_like(axis, 0.4)], 1), rtol=1e-5)
    np.testing.assert_allclose(rows[1], np.stack([np.full_like(axis, 0.3), axis], 1), rtol=1e-5)


def test_an_interpolation_is_a_straight_line_in_z_between_two_posterior_means(identity_like):
    first, second = torch.tensor([0.1, 0.8]), torch.tensor([0.9, 0.2])
    identity_like.encoder.heads.weight.data = torch.cat([torch.eye(2), torch.zeros(2, 2)])
    line = generation.path_between(identity_like, first.view(1, 1, 2), second.view(1, 1, 2), 5)
    np.testing.assert_allclose(line, np.linspace(first, second, 5), rtol=1e-5)


def test_samples_at_temperature_zero_are_the_decoded_prior_mean(identity_like):
    identity_like.decoder.output.bias.data = torch.tensor([0.25, 0.75])
    images = generation.prior_samples(identity_like, 3, 0, temperature=0.0)
    np.testing.assert_allclose(images.reshape(3, 2), [[0.25, 0.75]] * 3)


def test_the_most_used_dimensions_come_first():
    means = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32) * np.array([1, 5, 2], np.float32)
    assert generation.most_used_dimensions(means) == [1, 2, 0]
