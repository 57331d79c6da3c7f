"""The total correlation of an aggregate posterior, estimated from batches, against the sum over all its components."""

import pytest
import torch
from torch.testing import assert_close

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.objectives.total_correlation import total_correlation_of
from lowerbound.probability.distributions import DiagonalNormal
from lowerbound.probability.normals import FullNormal

pytestmark = pytest.mark.usefixtures("float64")

NUM_EXAMPLES, NUM_LATENTS, BATCH = 2_000, 5, 100


def aggregate():
    """2,000 normals whose means are near a space of three dimensions, seed 0: their total correlation is 2.26."""
    stream = generator(0, "aggregate")
    plane = torch.randn(NUM_EXAMPLES, 3, generator=stream) @ torch.randn(3, NUM_LATENTS, generator=stream)
    means = plane + 0.6 * torch.randn(NUM_EXAMPLES, NUM_LATENTS, generator=stream)
    return DiagonalNormal(means, -3 + 0.3 * torch.randn(NUM_EXAMPLES, NUM_LATENTS, generator=stream))


def over_all(q, z):
    """log q(z) and the sum of log q(z_d), of the mixture of all posteriors, by torch's own densities."""
    normal = torch.distributions.Normal(q.mean, q.standard_deviation)
    tables = torch.cat([normal.log_prob(part.unsqueeze(1)) for part in z.split(100)])
    count = torch.tensor(float(NUM_EXAMPLES)).log()
    return tables.sum(-1).logsumexp(1) - count, (tables.logsumexp(1) - count).sum(-1)


def truth(q):
    z = q.sample(generator(1, "draws"), 1)[0]
    joint, product = over_all(q, z)
    return float((joint - product).mean())


def batches(q, num_batches=60):
    stream = generator(2, "batches")
    for _ in range(num_batches):
        chosen = torch.randperm(NUM_EXAMPLES, generator=stream)[:BATCH]
        part = DiagonalNormal(q.mean[chosen], q.log_variance[chosen])
        yield part, part.sample(stream, 1)[0]


def elementwise(part, z):
    return torch.distributions.Normal(part.mean, part.standard_deviation).log_prob(z.unsqueeze(1))


def minibatch_weighted(part, z):
    """Chen et al., Equation S3: every posterior of the batch has weight 1 / (N B)."""
    table, constant = elementwise(part, z), torch.tensor(float(NUM_EXAMPLES * BATCH)).log()
    return ((table.sum(-1).logsumexp(1) - constant) - (table.logsumexp(1) - constant).sum(-1)).mean()


def stratified_as_published(part, z):
    """The weight 1/N of a draw's own posterior in the first column of the published code, not on the diagonal."""
    m = BATCH - 1
    weights = torch.full((BATCH, BATCH), 1 / m)
    weights.view(-1)[:: m + 1] = 1 / NUM_EXAMPLES
    weights.view(-1)[1 :: m + 1] = (NUM_EXAMPLES - m) / (NUM_EXAMPLES * m)
    weights[m - 1, 0] = (NUM_EXAMPLES - m) / (NUM_EXAMPLES * m)
    table, log_weights = elementwise(part, z), weights.log()
    joint = (table.sum(-1) + log_weights).logsumexp(1)
    return (joint - (table + log_weights.unsqueeze(-1)).logsumexp(1).sum(-1)).mean()


def test_the_estimate_of_a_batch_is_near_the_sum_over_all_and_published_weights_are_not():
    q = aggregate()
    exact = truth(q)

    def mean_of(estimate):
        return float(torch.stack([estimate(part, z) for part, z in batches(q)]).mean())

    ours = mean_of(lambda part, z: total_correlation_of(z, part, NUM_EXAMPLES))
    assert abs(ours - exact) < 0.3
    assert abs(mean_of(stratified_as_published) - exact) > 1
    assert abs(mean_of(minibatch_weighted) - exact) > 20


def test_both_estimated_densities_are_unbiased():
    """In linear space, where the weights promise it: E[q̂(z)] = q(z) for a fixed draw, over batches that contain it."""
    q = aggregate()
    z = q.sample(generator(3, "draw"), 1)[0, :1]
    exact = float(over_all(q, z)[0].exp())
    own, stream = 0, generator(4, "batches")
    table = elementwise(q, z)[0].sum(-1).exp()
    estimates = []
    for _ in range(4_000):
        others = 1 + torch.randperm(NUM_EXAMPLES - 1, generator=stream)[: BATCH - 1]
        estimates.append(table[own] / NUM_EXAMPLES + (NUM_EXAMPLES - 1) / NUM_EXAMPLES * table[others].mean())
    values = torch.stack(estimates)
    assert abs(float(values.mean()) - exact) <= 4 * float(values.std()) / len(values) ** 0.5


def test_the_whole_set_as_a_batch_gives_the_total_correlation_itself():
    q = aggregate()
    z = q.sample(generator(1, "draws"), 1)[0]
    joint, product = over_all(q, z)
    assert_close(total_correlation_of(z, q, NUM_EXAMPLES), (joint - product).mean())


def test_one_latent_has_none_and_other_families_are_refused():
    q = DiagonalNormal(torch.randn(6, 1, generator=generator(0, "m")), torch.zeros(6, 1))
    assert_close(total_correlation_of(q.mean, q, 50), torch.tensor(0.0))
    full = FullNormal(torch.zeros(6, 2), torch.eye(2).expand(6, 2, 2))
    with pytest.raises(ConfigError, match="needs a posterior whose latents are independent, got FullNormal"):
        total_correlation_of(full.mean, full, 50)
