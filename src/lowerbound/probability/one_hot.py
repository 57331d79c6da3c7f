"""CategoricalCodes: groups of one-hot codes, with hard draws or relaxed ones (Gumbel-softmax).

With independent standard Gumbel numbers g, the category with the largest logit + g has the categorical distribution
(the Gumbel-max trick), and softmax((logits + g) / temperature) is a relaxed draw that is differentiable in the logits.

A relaxed draw lies between the codes and has no probability under the categorical distribution. So relaxed codes are
for training only: the rate is the KL of the categorical distributions, and the objective is not a bound.

Source: Jang, Gu and Poole, "Categorical Reparameterization with Gumbel-Softmax", arXiv:1611.01144; Maddison, Mnih and
Teh, "The Concrete Distribution", arXiv:1611.00712.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from lowerbound.foundation.errors import ConfigError
from lowerbound.probability.distributions import FromNoise


@dataclass(frozen=True, eq=False)
class CategoricalCodes(FromNoise):
    """Independent one-hot codes in groups; values have the categories of all groups along one axis."""

    logits: Float[Tensor, "*batch group category"]
    event_ndim: int = 1

    @property
    def log_probabilities(self) -> Float64[Tensor, "*batch group category"]:
        """Logarithm of the probability of each category."""
        return self.logits.double().log_softmax(-1)

    @property
    def mean(self) -> Float[Tensor, "*batch latent"]:
        """The probability of each category."""
        return self.logits.softmax(-1).flatten(-2)

    @property
    def mode(self) -> Float[Tensor, "*batch latent"]:
        return one_hot_of(self.logits).flatten(-2)

    @property
    def centre(self) -> Float[Tensor, "*batch latent"]:
        """The most probable code."""
        return self.mode

    @property
    def variance(self) -> Float[Tensor, "*batch latent"]:
        return self.mean * (1 - self.mean)

    @property
    def covariance(self) -> Float[Tensor, "*batch latent latent"]:
        probability = self.logits.softmax(-1)
        blocks = torch.diag_embed(probability) - probability.unsqueeze(-1) * probability.unsqueeze(-2)
        num_groups, num_categories = self.logits.shape[-2:]
        same_group = torch.eye(num_groups).to(blocks).unsqueeze(1).unsqueeze(-1)
        full = blocks.unsqueeze(-2) * same_group  # group category group category
        return full.reshape(*self.logits.shape[:-2], num_groups * num_categories, num_groups * num_categories)

    def log_prob(self, value: Float[Tensor, "*value_shape"]) -> Float64[Tensor, "*batch"]:
        return (value.double() * self.log_probabilities.flatten(-2)).sum(-1)

    def log_prob_table(self, values: Float[Tensor, "n latent"]) -> Float64[Tensor, "n batch"]:
        return values.double() @ self.log_probabilities.flatten(-2).T

    @property
    def noise_like(self) -> Float[Tensor, "*batch group category"]:
        return self.logits

    def moved(self, noise: Float[Tensor, "sample *batch group category"]) -> Float[Tensor, "sample *batch latent"]:
        """Hard draws, which are not differentiable."""
        return one_hot_of(self.logits.detach() + gumbel_of_normal(noise)).flatten(-2)


@dataclass(frozen=True, eq=False)
class RelaxedCodes(CategoricalCodes):
    """The same distribution with relaxed draws, for training: differentiable in the logits, between the codes.

    With `straight_through` draws are codes, with the gradient of the relaxed ones.
    """

    temperature: float = 1.0
    straight_through: bool = False

    def log_prob(self, value: Float[Tensor, "*value_shape"]) -> Float64[Tensor, "*batch"]:
        raise ConfigError(
            "a relaxed code has no log q(z|x): train posterior 'gumbel-softmax' with objective.bound 'elbo', gradient "
            "'reparameterized' and rate 'analytic', with prior 'uniform-categorical'."
        )

    def moved(self, noise: Float[Tensor, "sample *batch group category"]) -> Float[Tensor, "sample *batch latent"]:
        noisy = self.logits + gumbel_of_normal(noise)
        relaxed = (noisy / self.temperature).softmax(-1).flatten(-2)
        if not self.straight_through:
            return relaxed
        return one_hot_of(noisy).flatten(-2) + relaxed - relaxed.detach()


def gumbel_of_normal(normal: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Standard Gumbel variates -log(-log Φ(n)) of normal noise; finite, because log Φ is computed without Φ."""
    return -(-torch.special.log_ndtr(normal)).log()


def one_hot_of(logits: Float[Tensor, "*batch category"]) -> Float[Tensor, "*batch category"]:
    """The code of the largest logit; the first of equal ones."""
    return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
