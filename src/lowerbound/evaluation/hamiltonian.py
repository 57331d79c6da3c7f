"""Hamiltonian Monte Carlo (HMC) and its leapfrog integrator, on a path of densities from a base to p(z|x).

The path consists of the unnormalised densities

    f_β(z) = base(z) · ratio(z)^β,   0 ≤ β ≤ 1,   base · ratio = p(x, z),

where the base is q(z|x), or the prior, in which case the ratio is p(x|z). A transition draws a momentum, integrates the
dynamics of the energy -log f_β(z) + |momentum|²/2 by leapfrog steps, and accepts or rejects the end point.

Source: Neal, "MCMC using Hamiltonian dynamics", arXiv:1206.1901.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import Distribution

JITTER = 0.5
"""The step size of each trajectory is drawn within ± this fraction of the given one.

Along an axis with standard deviation s the dynamics have period 2πs, and a trajectory of about that length ends where
it began. Random lengths prevent this from happening in every transition.
"""


@dataclass(frozen=True, eq=False)
class Point:
    """Latents, with the log-densities of base and ratio there and their gradients."""

    z: Float[Tensor, "chain batch latent"]
    log_base: Float[Tensor, "chain batch"]
    log_ratio: Float[Tensor, "chain batch"]
    base_score: Float[Tensor, "chain batch latent"]  # d log base / dz
    ratio_score: Float[Tensor, "chain batch latent"]  # d log ratio / dz

    def log_density(self, beta: float) -> Float[Tensor, "chain batch"]:
        """log f_β(z), in nats."""
        return self.log_base + beta * self.log_ratio

    def score(self, beta: float) -> Float[Tensor, "chain batch latent"]:
        """d log f_β(z) / dz."""
        return self.base_score + beta * self.ratio_score

    def moved(self, to: "Point", accepted: Bool[Tensor, "chain batch"]) -> "Point":
        """`to` in the chains that accepted it, this point in the others."""

        def chosen(here: Tensor, there: Tensor) -> Tensor:
            return torch.where(accepted.unsqueeze(-1) if here.dim() > accepted.dim() else accepted, there, here)

        names = [field.name for field in fields(Point)]
        return Point(**{name: chosen(getattr(self, name), getattr(to, name)) for name in names})


@dataclass(frozen=True, eq=False)
class AnnealedPath:
    """The path from a base, the prior or q(z|x), to the posterior of each example."""

    model: VAE
    x: Float[Tensor, "batch *event"]
    prior: Distribution
    base: Distribution

    @classmethod
    def of(cls, model: VAE, x: Float[Tensor, "batch *event"], start: str) -> "AnnealedPath":
        """The path from the named base; see BASES."""
        with torch.no_grad():
            return cls(model, x, model.prior(), BASES[start](model, x))

    def draw(self, generator: Generator, num_chains: int) -> Point:
        """Independent draws from the base."""
        num_examples = len(self.x)
        is_shared = self.base.mean.dim() == 1  # the prior is the same for all examples
        z = self.base.sample(generator, num_chains * num_examples if is_shared else num_chains)
        return self.at(z.reshape(num_chains, num_examples, -1))

    def at(self, z: Float[Tensor, "chain batch latent"]) -> Point:
        """Log-densities and their gradients at z: a forward pass of the decoder, and a backward pass to z."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            log_base = self.base.log_prob(z)
            # If the base is the prior, the last two terms cancel exactly.
            log_ratio = self.model.decode(z).log_prob(self.x) + (self.prior.log_prob(z) - log_base)
            (base_score,) = torch.autograd.grad(log_base.sum(), z, retain_graph=True)
            (ratio_score,) = torch.autograd.grad(log_ratio.sum(), z)
        return Point(z.detach(), log_base.detach(), log_ratio.detach(), base_score, ratio_score)


@dataclass(frozen=True, eq=False)
class Phase:
    """A point and its momentum, with unit mass."""

    point: Point
    momentum: Float[Tensor, "chain batch latent"]

    def energy(self, beta: float) -> Float[Tensor, "chain batch"]:
        """Potential energy -log f_β(z) plus kinetic energy, in nats."""
        return 0.5 * self.momentum.square().sum(-1) - self.point.log_density(beta)


def leapfrog(
    path: AnnealedPath, phase: Phase, beta: float, step_size: Float[Tensor, "chain batch"], num_steps: int
) -> Phase:
    """End of a trajectory of `num_steps` leapfrog steps: reversible, volume-preserving, one decoder pass per step.

    Source: Neal, arXiv:1206.1901, Section 2.3.
    """
    point, momentum, step = phase.point, phase.momentum, step_size.unsqueeze(-1)
    for _ in range(num_steps):
        momentum = momentum + 0.5 * step * point.score(beta)
        point = path.at(point.z + step * momentum)
        momentum = momentum + 0.5 * step * point.score(beta)
    return Phase(point, momentum)


@dataclass(frozen=True, eq=False)
class Move:
    """Result of a transition: the new point, and the acceptance probability of its proposal."""

    point: Point
    acceptance: Float[Tensor, "chain batch"]


def transition(
    path: AnnealedPath,
    point: Point,
    beta: float,
    step_size: Float[Tensor, " batch"],
    num_leapfrog: int,
    generator: Generator,
) -> Move:
    """One HMC transition, which leaves f_β invariant and is reversible with respect to it.

    The jitter of the step size is independent of the state, so the transition is a mixture of invariant ones.

    Source: Neal, arXiv:1206.1901, Section 3.2.
    """
    like = point.z
    momentum = torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
    jitter = 1 + JITTER * (2 * _uniform(like[..., 0], generator) - 1)
    start = Phase(point, momentum)
    end = leapfrog(path, start, beta, step_size * jitter, num_leapfrog)
    acceptance = (start.energy(beta) - end.energy(beta)).clamp(max=0.0).exp()
    # A diverged trajectory has infinite or undefined energy, and is rejected.
    acceptance = acceptance.nan_to_num(nan=0.0)
    return Move(point.moved(end.point, _uniform(acceptance, generator) < acceptance), acceptance)


def _uniform(like: Tensor, generator: Generator) -> Tensor:
    return torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device)


def _prior(model: VAE, x: Tensor) -> Distribution:
    """The prior, the same for all examples."""
    base: Distribution = model.prior()
    return base


def _posterior(model: VAE, x: Tensor) -> Distribution:
    """The encoder's posterior of each example, closer to the true one."""
    return model.encode(x)


BASES: dict[str, Callable[[VAE, Tensor], Distribution]] = {"prior": _prior, "posterior": _posterior}
