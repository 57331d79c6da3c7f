"""A normal of diagonal plus low rank, against torch's own and against the full covariance."""

import pytest
import torch
from torch.distributions import LowRankMultivariateNormal, MultivariateNormal
from torch.distributions import kl_divergence as reference_kl
from torch.testing import assert_close

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import content_noise, generator
from lowerbound.probability.distributions import DiagonalNormal
from lowerbound.probability.kl import kl_divergence
from lowerbound.probability.low_rank_normal import LowRankNormal
from lowerbound.probability.normals import FullNormal
from lowerbound.probability.posteriors import DiagonalNormalPosterior, LowRankNormalPosterior

pytestmark = pytest.mark.usefixtures("float64")


def low_rank(latent_dim=4, rank=2):
    family = LowRankNormalPosterior(latent_dim, rank)
    return family(torch.randn(3, *family.raw_shape, generator=generator(0, "raw")))


def reference(q):
    scale = torch.exp(0.5 * q.log_variance)
    return LowRankMultivariateNormal(q.mean, scale.unsqueeze(-1) * q.factor, scale.square())


def latents(q, num=5):
    return torch.randn(num, 1, q.mean.shape[-1], generator=generator(0, "z"))


@pytest.mark.parametrize(("latent_dim", "rank"), [(1, 1), (4, 1), (4, 2), (3, 3), (5, 4)])
def test_density_and_moments_are_those_of_torch(latent_dim, rank):
    q = low_rank(latent_dim, rank)
    expected = reference(q)
    assert_close(q.log_prob(latents(q)), expected.log_prob(latents(q)))
    assert_close(q.variance, expected.variance)
    assert_close(q.covariance, expected.covariance_matrix)
    assert_close(q.log_determinant, torch.logdet(expected.covariance_matrix))
    assert_close(q.log_prob_table(latents(q)[:, 0]), expected.log_prob(latents(q)))


def test_as_many_columns_as_latents_give_any_covariance():
    entries = torch.randn(3, 3, 3, generator=generator(0, "covariance"))
    scale_tril = entries.tril(-1) + torch.diag_embed(entries.diagonal(dim1=-2, dim2=-1).exp())
    full = FullNormal(torch.randn(3, 3, generator=generator(0, "mean")), scale_tril)
    least = 0.5 * torch.linalg.eigvalsh(full.covariance)[:, :1]
    factor = torch.linalg.cholesky(full.covariance / least.unsqueeze(-1) - torch.eye(3))
    q = LowRankNormal(full.mean, least.log().expand(3, 3), factor)
    assert_close(q.covariance, full.covariance)
    assert_close(q.log_prob(latents(q)), full.log_prob(latents(q)))


def test_without_its_third_head_it_is_the_diagonal_normal():
    raw = torch.randn(3, 8, generator=generator(0, "raw"))
    q = LowRankNormalPosterior(4, rank=2)(torch.cat([raw, torch.zeros(3, 8)], dim=-1))
    normal = DiagonalNormalPosterior(4)(raw)
    assert_close(q.log_prob(latents(q)), normal.log_prob(latents(q)))


def test_draws_have_its_moments():
    q = low_rank()
    z = q.sample(generator(0, "draws"), 100_000)
    assert_close(z.mean(0), q.mean, rtol=0, atol=0.06)
    for member in range(3):
        assert_close(torch.cov(z[:, member].T), q.covariance[member], rtol=0.05, atol=0.06)


def test_draws_by_row_are_the_rows_own():
    q, x = low_rank(), torch.rand(3, 2, generator=generator(0, "x"))
    together = q.sample_by_row(content_noise(x, 0, "noise"), 2)
    alone = LowRankNormal(q.mean[1:2], q.log_variance[1:2], q.factor[1:2])
    assert_close(together[:, 1:2], alone.sample_by_row(content_noise(x[1:2], 0, "noise"), 2))


def test_the_divergence_is_that_of_torch():
    q = low_rank()
    p = DiagonalNormal(torch.tensor([0.3, -1.0, 2.0, 0.0]), torch.tensor([0.5, -0.2, 1.0, 0.0]))
    expected = reference_kl(
        MultivariateNormal(q.mean, q.covariance), MultivariateNormal(p.mean, torch.diag(p.variance))
    )
    assert_close(kl_divergence(q, p), expected)


def test_a_marginal_is_its_block():
    q = low_rank()
    marginal = q.marginal([2, 0])
    assert_close(marginal.mean, q.mean[:, [2, 0]])
    assert_close(marginal.covariance, q.covariance[:, [2, 0]][:, :, [2, 0]])


def test_large_columns_lose_no_digits():
    factor = torch.tensor([[[3e3], [-1e3], [2e3]]])
    q = LowRankNormal(torch.zeros(1, 3), torch.zeros(1, 3), factor)
    z = q.sample(generator(0, "z"), 4)
    expected = MultivariateNormal(torch.zeros(3), torch.eye(3) + (factor @ factor.mT)[0]).log_prob(z)
    assert_close(q.log_prob(z), expected, rtol=0, atol=1e-6)
    single = LowRankNormal(*(part.float() for part in (q.mean, q.log_variance, factor)))
    assert_close(single.log_prob(z.float()), expected, rtol=0, atol=2e-3)


def test_a_rank_above_the_number_of_latents_is_refused():
    with pytest.raises(ConfigError, match="rank=5, but its covariance has only 2 dimensions"):
        LowRankNormalPosterior(2, 5)
