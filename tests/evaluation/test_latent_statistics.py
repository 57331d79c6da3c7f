import math

import pytest
import torch
from torch import distributions

from lowerbound.data.sources import DataConfig, load
from lowerbound.data.synthetic import orthogonal_linear_gaussian
from lowerbound.evaluation import latent_statistics
from lowerbound.evaluation.latent_statistics import (
    active_units,
    decompose_rate,
    encode_examples,
    log_aggregate_posterior,
    moment_kl,
    rate_per_dimension,
)
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.probability.distributions import DiagonalNormal, PointMass
from lowerbound.probability.iaf_posterior import InverseAutoregressivePosterior

pytestmark = pytest.mark.usefixtures("float64")


def standard_normal(latent_dim):
    return DiagonalNormal(torch.zeros(latent_dim), torch.zeros(latent_dim))


def two_clusters(num_examples=200, distance=10.0):
    """Posteriors of unit variance, half of them at +distance, half at -distance in the first of two dimensions."""
    mean = torch.zeros(num_examples, 2)
    mean[:, 0] = distance
    mean[::2, 0] = -distance
    return DiagonalNormal(mean, torch.zeros(num_examples, 2))


def exact_posteriors(num_examples):
    """Exact posteriors of data drawn from a linear-Gaussian model: their aggregate approaches the prior."""
    data = orthogonal_linear_gaussian(6, 2, sigma=0.5, generator=generator(0, "data"))
    mean = data.posterior_mean(data.sample(num_examples, generator(0, "examples")))
    return data, DiagonalNormal(mean, data.posterior_covariance().diagonal().log().expand_as(mean))


def test_the_information_of_two_separate_clusters_is_log_2():
    split = decompose_rate(two_clusters(), standard_normal(2), generator(0, "draws"), num_draws=20)
    assert split.mutual_information.value == pytest.approx(math.log(2), abs=1e-6)
    expected = 50 - math.log(2)  # the rate is the KL of a shift by ten
    assert abs(split.aggregate_kl.value - expected) < 4 * split.aggregate_kl.standard_error


def test_the_two_parts_add_up_to_the_rate():
    split = decompose_rate(two_clusters(distance=0.7), standard_normal(2), generator(0, "draws"))
    assert split.mutual_information.value + split.aggregate_kl.value == pytest.approx(split.rate.value)
    assert abs(split.rate.value - 0.5 * 0.7**2) < 4 * split.rate.standard_error


def test_exact_posteriors_aggregate_to_the_prior_so_the_rate_is_information():
    data, posterior = exact_posteriors(4000)
    split = decompose_rate(posterior, standard_normal(2), generator(0, "draws"))
    # I(x; z) of jointly normal x and z.
    expected = 0.5 * torch.logdet(torch.eye(6) + data.weight @ data.weight.T / data.sigma**2).item()
    assert split.is_resolved
    assert abs(split.aggregate_kl.value) < 0.02
    assert split.mutual_information.value == pytest.approx(expected, abs=0.02 + 4 * split.rate.standard_error)


def test_a_collapsed_posterior_has_no_information_and_no_active_unit():
    collapsed = DiagonalNormal(torch.zeros(50, 3), torch.zeros(50, 3))
    split = decompose_rate(collapsed, standard_normal(3), generator(0, "draws"))
    assert split.mutual_information.value == pytest.approx(0, abs=1e-12)
    assert split.aggregate_kl.value == pytest.approx(0, abs=1e-12)
    assert active_units(collapsed).count == 0


def test_too_few_examples_leave_the_information_unresolved():
    narrow = DiagonalNormal(torch.arange(20.0).unsqueeze(1), torch.full((20, 1), -12.0))
    split = decompose_rate(narrow, standard_normal(1), generator(0, "draws"))
    assert split.mutual_information.value == pytest.approx(math.log(20))
    assert not split.is_resolved


def test_the_aggregate_is_the_mixture_of_all_posteriors(monkeypatch):
    posterior = DiagonalNormal(
        torch.randn(7, 2, generator=generator(0, "m")), torch.randn(7, 2, generator=generator(0, "v"))
    )
    z = torch.randn(11, 2, generator=generator(0, "z"))
    components = distributions.Independent(distributions.Normal(posterior.mean, posterior.variance.sqrt()), 1)
    mixture = distributions.MixtureSameFamily(distributions.Categorical(logits=torch.zeros(7)), components)
    whole = log_aggregate_posterior(z, posterior)
    torch.testing.assert_close(whole, mixture.log_prob(z))
    monkeypatch.setattr(latent_statistics, "MAX_PAIRS", 14)  # two draws at a time
    torch.testing.assert_close(log_aggregate_posterior(z, posterior), whole)


def test_the_moments_kl_is_exact_for_a_normal_aggregate():
    mean, variance = torch.tensor([0.5, -1.0]), torch.tensor([0.3, 2.0])
    same = DiagonalNormal(mean.expand(10, 2), variance.log().expand(10, 2))
    prior = DiagonalNormal(torch.tensor([0.1, 0.2]), torch.tensor([0.4, -0.3]))
    normals = [distributions.Normal(q.mean, q.variance.sqrt()) for q in (DiagonalNormal(mean, variance.log()), prior)]
    expected = distributions.kl_divergence(*normals).sum()
    assert moment_kl(same, prior) == pytest.approx(expected.item())


@pytest.mark.parametrize("distance", [0.5, 2.0, 10.0])
def test_the_moments_kl_is_below_the_aggregates_kl(distance):
    posterior = two_clusters(distance=distance)
    aggregate = decompose_rate(posterior, standard_normal(2), generator(0, "draws"), num_draws=50).aggregate_kl
    assert 0 < moment_kl(posterior, standard_normal(2)) < aggregate.value + 4 * aggregate.standard_error


def test_a_unit_is_active_if_its_mean_varies_whatever_its_own_variance():
    mean = torch.tensor([[-1.0, 0.09, 5.0], [1.0, -0.09, 5.0]])
    units = active_units(DiagonalNormal(mean, torch.zeros(2, 3)))
    torch.testing.assert_close(units.variance, torch.tensor([1.0, 0.0081, 0.0]))
    assert units.is_active == (True, False, False)
    assert units.count == 1


def test_the_rate_of_each_dimension_is_its_own_kl():
    _, posterior = exact_posteriors(30)
    expected = distributions.kl_divergence(
        distributions.Normal(posterior.mean, posterior.variance.sqrt()), distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(rate_per_dimension(posterior, standard_normal(2)), expected.mean(0))


def test_a_rate_without_a_closed_form_is_refused():
    with pytest.raises(ConfigError, match="no closed form"):
        rate_per_dimension(PointMass(torch.zeros(3, 2)), standard_normal(2))


def test_examples_are_encoded_in_batches_as_in_one(monkeypatch):
    test = load(DataConfig()).test
    model = build_model(ModelConfig(hidden=(8,)), (1, 8, 8), generator(0, "weights")).double()
    whole = encode_examples(model, test)
    monkeypatch.setattr(latent_statistics, "BATCH_SIZE", 100)
    batched = encode_examples(model, test)
    assert whole.mean.shape == (360, 2)
    torch.testing.assert_close(batched.mean, whole.mean)
    torch.testing.assert_close(batched.variance, whole.variance)


def test_the_aggregate_of_a_flow_is_of_as_many_posteriors_as_can_be_afforded():
    family = InverseAutoregressivePosterior(2, num_transforms=3, hidden=4).double()
    with torch.no_grad():
        for parameter in family.parameters():
            parameter.normal_(0, 0.2, generator=generator(0, "weights"))
    posterior = family(torch.randn(50, *family.raw_shape, generator=generator(0, "raw"), dtype=torch.float64))
    prior = standard_normal(2)
    assert decompose_rate(posterior, prior, generator(0, "z")).num_examples == 50
    some = decompose_rate(posterior, prior, generator(0, "z"), max_passes=6 * 20**2)
    assert some.num_examples == 20
    assert some.mutual_information.value + some.aggregate_kl.value == pytest.approx(some.rate.value)
