"""Named random streams, and no other source of chance."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lowerbound.data.batches import Batches
from lowerbound.data.examples import Examples
from lowerbound.data.synthetic import orthogonal_linear_gaussian
from lowerbound.foundation.seeding import SharedNoise, content_noise, generator
from lowerbound.foundation.shares import Share
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.networks.architectures import NETWORKS
from lowerbound.probability.distributions import DiagonalNormal, PointMass
from lowerbound.probability.likelihoods import LIKELIHOODS
from lowerbound.probability.normals import FullNormal

STREAMS = st.tuples(st.integers(0, 2**40), st.text(max_size=12))


@given(STREAMS)
def test_the_same_seed_and_name_give_the_same_stream(stream):
    first, second = (torch.rand(4, generator=generator(*stream)) for _ in range(2))
    assert torch.equal(first, second)


@given(STREAMS, STREAMS)
def test_another_seed_or_another_name_gives_another_stream(one, other):
    first, second = (torch.rand(4, generator=generator(*stream)) for stream in (one, other))
    assert torch.equal(first, second) == (one == other)


def test_a_streams_place_can_be_saved_and_restored():
    stream = generator(0, "noise")
    torch.rand(3, generator=stream)
    place = stream.get_state()
    expected = torch.rand(5, generator=stream)
    other = generator(1, "something else")
    other.set_state(place)
    assert torch.equal(torch.rand(5, generator=other), expected)


def test_streams_stay_what_they_were_when_earlier_runs_were_written():
    # From `printf 0/noise | sha256sum`: the first eight bytes, least significant first, halved.
    assert generator(0, "noise").initial_seed() == 1_129_392_339_022_293_447


POSTERIORS_OF = {
    "diagonal": lambda rows: DiagonalNormal(rows, rows / 3),
    "full": lambda rows: FullNormal(rows, torch.eye(2).expand(len(rows), 2, 2)),
    "point mass": PointMass,
}


@pytest.mark.parametrize("size", [3, 40])  # torch draws few numbers in another way than many
@pytest.mark.parametrize("posterior", POSTERIORS_OF)
def test_rows_of_shared_noise_are_those_of_one_draw_for_the_batch(posterior, size):
    posterior_of, means, noise = POSTERIORS_OF[posterior], torch.arange(2.0 * size).reshape(size, 2), generator(0, "n")
    expected = [posterior_of(means).draw(noise, 2).value for _ in range(2)]
    for rank in range(4):
        rows, own = Share(rank, 4).rows(size), generator(0, "n")
        found = [posterior_of(means[rows.slice]).draw(SharedNoise(own, rows), 2).value for _ in range(2)]
        assert all(torch.equal(part, whole[:, rows.slice]) for part, whole in zip(found, expected, strict=True))
        assert torch.equal(own.get_state(), noise.get_state())


def build_and_use(network, likelihood):
    config = ModelConfig(network=network, hidden=(3,), channels=(2,), likelihood=likelihood)
    model = build_model(config, (1, 4, 5), generator(0, "weights"))
    x = torch.zeros(2, 1, 4, 5)
    outputs = [
        *model.parameters(),
        model.sample_posterior(x, generator(0, "noise"), num_samples=2).z,
        model.reconstruct(x, generator(0, "noise")),
        model.generate(3, generator(0, "images")),
        model.decode(torch.zeros(1, 2)).sample(generator(0, "pixels"), 2),
    ]
    return [output.detach() for output in outputs]


def shuffle_and_draw_data():
    examples = Examples(np.arange(12, dtype=np.uint8).reshape(6, 2, 1, 1), 255.0)
    data = orthogonal_linear_gaussian(4, 2, 0.5, generator(0, "data"))
    return [
        *(batch.x for batch in Batches(examples, 4).shuffled(0, 0)),
        data.weight,
        data.sample(3, generator(0, "examples")),
    ]


def seed_globally(seed):
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)


def global_states():
    # Python's own generator is left out: the run-time type checks draw from it.
    numpys = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().tolist(), [part.tolist() if isinstance(part, np.ndarray) else part for part in numpys]


USES_OF_CHANCE = {
    f"{network} with {likelihood}": lambda network=network, likelihood=likelihood: build_and_use(network, likelihood)
    for network in NETWORKS
    if not NETWORKS[network].map_size  # which needs another number of latents
    for likelihood in LIKELIHOODS
    if likelihood != "table"  # which is of rows alone
} | {"data": shuffle_and_draw_data}


@pytest.mark.parametrize("use", USES_OF_CHANCE.values(), ids=USES_OF_CHANCE.keys())
def test_global_generators_are_neither_moved_nor_listened_to(use):
    seed_globally(1)
    before = global_states()
    first = use()
    assert global_states() == before
    seed_globally(2)
    assert all(torch.equal(one, other) for one, other in zip(first, use(), strict=True))


def normal(x, num_samples=3, seed=0, name="score"):
    return content_noise(x, seed, name).normal(num_samples, x.new_empty(len(x), 2))


def test_noise_by_content_is_the_same_alone_among_others_and_in_any_order():
    x = torch.randn(6, 4, generator=generator(0, "x"))
    together = normal(x)
    assert torch.equal(normal(x[[4]]), together[:, [4]])
    assert torch.equal(normal(x.flip(0)), together.flip(1))
    assert torch.equal(normal(torch.cat([x, x]))[:, 6:], together)


def test_the_first_draws_are_the_same_however_many_follow_and_however_they_are_asked_for():
    x = torch.randn(5, 4, generator=generator(0, "x"))
    noise = content_noise(x, 0, "score")
    one_by_one = torch.cat([noise.normal(1, x.new_empty(5, 2)) for _ in range(4)])
    assert torch.equal(one_by_one, normal(x, 4)) and torch.equal(normal(x, 9)[:4], one_by_one)


def test_other_content_seeds_and_names_give_other_noise_and_equal_numbers_the_same():
    x = torch.tensor([[0.0, 1.0], [float("nan"), 2.0]])
    same = torch.tensor([[-0.0, 1.0], [-float("nan"), 2.0]], dtype=torch.float64)
    assert torch.equal(normal(same).float(), normal(x))
    for other in (normal(x + 1e-6), normal(x, seed=1), normal(x, name="importance")):
        assert (other[:, 0] != normal(x)[:, 0]).all()


def test_noise_by_content_is_standard_normal_over_examples():
    drawn = normal(torch.arange(4000.0)[:, None], 2).double()
    assert abs(drawn.mean()) < 4 / len(drawn.flatten()) ** 0.5
    assert drawn.var() == pytest.approx(1, abs=0.05) and drawn.pow(4).mean() == pytest.approx(3, abs=0.3)
