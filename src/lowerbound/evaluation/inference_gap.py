"""The inference gap taken apart: what the family of q costs, and what the encoder costs.

    log p(x) - ELBO(encoder) = [log p(x) - ELBO(best q)]  +  [ELBO(best q) - ELBO(encoder)]
         inference gap       =     approximation gap      +       amortisation gap

The best q is, for each example, the member of the encoder's family with the greatest ELBO: a normal whose mean and
covariance are optimised for that example alone while the model stays as it is. A family that is too narrow shows
in the first gap; an encoder that cannot find its best member shows in the second. All are in nats.

Source: Cremer, Li and Duvenaud, "Inference Suboptimality in Variational Autoencoders", arXiv:1801.03558, Table 1.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from lowerbound.data.batches import scaled
from lowerbound.data.sources import Examples
from lowerbound.evaluation.local_posteriors import LOCAL_FAMILIES, select_normals, with_mean
from lowerbound.foundation.errors import ConfigError, DataError
from lowerbound.foundation.numerics import Estimate, mean_and_standard_error
from lowerbound.foundation.schedules import cosine
from lowerbound.foundation.seeding import generator
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import Distribution

DECODER_BATCH = 250


@dataclass(frozen=True, kw_only=True)
class GapConfig:
    """How the best Gaussian of each example is searched for, and how it is judged."""

    num_steps: int = 100
    num_draws: int = 8  # for each example and step: pairs, mirrored at the mean
    learning_rate: float = 0.3  # Adam's first step, in posterior standard deviations; it falls to 0
    num_prior_draws: int = 5000  # the best of them is a second start; one in a few hundred may hit a narrow posterior
    num_judging_draws: int = 100  # for each example: fresh draws for ELBOs that are compared or returned
    batch_size: int = 100  # examples optimised together

    def __post_init__(self) -> None:
        for key in ("num_steps", "num_prior_draws", "num_judging_draws", "batch_size"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key} needs at least 1, got {getattr(self, key)}.")
        if self.num_draws < 2 or self.num_draws % 2:
            raise ConfigError(f"num_draws needs an even number of at least 2, got {self.num_draws}: draws are paired.")
        if not self.learning_rate > 0:
            raise ConfigError(f"learning_rate needs a number above 0, got {self.learning_rate:g}.")


@dataclass(frozen=True, eq=False)
class InferenceGaps:
    """The three levels of each example, in nats; both ELBOs are means over the same noise."""

    encoder_elbo: Float[Tensor, " n"]
    local_elbo: Float[Tensor, " n"]  # of the best Gaussian found
    log_evidence: Float[Tensor, " n"] | None  # None where it is not known

    @property
    def amortisation_gap(self) -> Float[Tensor, " n"]:
        """What the encoder loses against the best member of its family; below 0 by noise alone."""
        return self.local_elbo - self.encoder_elbo

    @property
    def approximation_gap(self) -> Float[Tensor, " n"] | None:
        """What the best member of the family loses against the exact posterior: KL(q || p(z|x))."""
        return None if self.log_evidence is None else self.log_evidence - self.local_elbo

    @property
    def mean_amortisation_gap(self) -> Estimate:
        """Mean over examples ± standard error, which holds the draws' noise as well."""
        return mean_and_standard_error(self.amortisation_gap)

    @property
    def mean_approximation_gap(self) -> Estimate | None:
        """Mean over examples ± standard error, or None where log p(x) is not known."""
        gap = self.approximation_gap
        return None if gap is None else mean_and_standard_error(gap)


def inference_gaps(
    model: VAE,
    examples: Examples,
    log_evidence: Float[Tensor, " n"] | None,
    config: GapConfig,
    seed: int,
    device: torch.device | str = "cpu",
) -> InferenceGaps:
    """Both gaps of each example; `log_evidence` is log p(x) of the same ones, exact or estimated.

    Pixels that are redrawn on every pass are those of `scaled(examples)`.

    ConfigError for a model without an ELBO, DataError where the evidence is that of another number of examples.
    """
    _refuse_deterministic(model)
    if log_evidence is not None and len(log_evidence) != len(examples):
        came = f"{len(log_evidence)} values of log p(x) came with {len(examples)} examples"
        raise DataError(f"{came}; one each is needed.")
    search, judgement = (generator(seed, f"gaps/{name}", device) for name in ("search", "judgement"))
    # All at once: pixels that are redrawn on every pass must be those that log p(x) is of.
    values = scaled(examples).to(device, next(model.parameters()).dtype)
    encoder_elbos, local_elbos = [], []
    for x in values.split(config.batch_size):
        posteriors = _encode(model, x), local_posteriors(model, x, config, search)
        encoder_elbo, local_elbo = _paired_elbos(model, x, posteriors, config.num_judging_draws, judgement)
        encoder_elbos.append(encoder_elbo.cpu())
        local_elbos.append(local_elbo.cpu())
    evidence = None if log_evidence is None else log_evidence.cpu()
    return InferenceGaps(torch.cat(encoder_elbos), torch.cat(local_elbos), evidence)


def local_posteriors(
    model: VAE, x: Float[Tensor, "batch *event"], config: GapConfig, generator: Generator
) -> Distribution:
    """The member of the encoder's family with the greatest ELBO for each example, or the encoder's own where no better
    one was found.

    The search starts at the encoder's or, where its ELBO is greater, at that normal moved to the most probable of many
    draws from the prior: an encoder that is far off is often in the basin of a wrong mode.
    """
    _refuse_deterministic(model)
    with _frozen(model):
        encoded = _encode(model, x)
        moved = with_mean(encoded, _best_prior_draw(model, x, config.num_prior_draws, generator))
        start = _better(model, x, encoded, moved, config.num_draws, generator)
        found = _climb(model, x, start, config, generator)
        return _better(model, x, encoded, found, config.num_judging_draws, generator)


def _climb(
    model: VAE, x: Float[Tensor, "batch *event"], start: Distribution, config: GapConfig, generator: Generator
) -> Distribution:
    """Adam on the ELBO of each example, in the parameters of its own normal."""
    family = LOCAL_FAMILIES[type(start)]
    # What is optimised is the next step, which is taken and set to zero.
    size = family.step_size(start.mean.shape[-1])
    step = torch.zeros(len(x), size, dtype=start.mean.dtype, device=x.device, requires_grad=True)
    # The second moment forgets fast, because the gradient falls by orders of magnitude within a few steps.
    optimiser = torch.optim.Adam([step], config.learning_rate, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda number: cosine(number, config.num_steps))
    posterior = start
    for _ in range(config.num_steps):
        optimiser.zero_grad()
        # Examples are independent: the gradient of the sum holds that of each.
        stepped = family.stepped(posterior, step)
        (-_elbo_to_climb(model, x, stepped, config.num_draws, generator).sum()).backward()
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            posterior = family.stepped(posterior, step)
            step.zero_()
    return posterior


def _elbo_to_climb(
    model: VAE, x: Float[Tensor, "batch *event"], posterior: Distribution, num_draws: int, generator: Generator
) -> Float[Tensor, " batch"]:
    """The ELBO with a gradient of little noise: mirrored draws, and no score of q (as in gradient 'stl')."""
    z = posterior.sample(generator, num_draws // 2)
    z = torch.cat([z, 2 * posterior.mean - z])
    return (model.log_joint(x, z) - posterior.detach().log_prob(z)).mean(0)


@torch.no_grad()
def _best_prior_draw(
    model: VAE, x: Float[Tensor, "batch *event"], num_draws: int, generator: Generator
) -> Float[Tensor, "batch latent"]:
    """Of draws z from the prior the one with the greatest p(x, z), for each example."""
    z: Tensor = model.prior().sample(generator, num_draws)
    return z[model.log_joint_table(x, z, DECODER_BATCH).argmax(1)]


def _better(
    model: VAE,
    x: Float[Tensor, "batch *event"],
    first: Distribution,
    second: Distribution,
    num_draws: int,
    generator: Generator,
) -> Distribution:
    """Of two Gaussians the one with the greater ELBO, for each example; the first unless the second is better."""
    first_elbo, second_elbo = _paired_elbos(model, x, (first, second), num_draws, generator)
    better: Distribution = select_normals(second_elbo > first_elbo, second, first)
    return better


@torch.no_grad()
def _paired_elbos(
    model: VAE,
    x: Float[Tensor, "batch *event"],
    posteriors: tuple[Distribution, Distribution],
    num_draws: int,
    generator: Generator,
) -> list[Float[Tensor, " batch"]]:
    """The ELBO of each example under each of two posteriors, with equal noise: their difference has little."""
    noise, elbos = generator.get_state(), []
    for posterior in posteriors:
        generator.set_state(noise)
        elbo = x.new_zeros(len(x))
        # One draw at a time: memory does not grow with the number of draws.
        for _ in range(num_draws):
            z = posterior.sample(generator, 1)
            elbo += (model.log_joint(x, z) - posterior.log_prob(z))[0] / num_draws
        elbos.append(elbo)
    return elbos


@torch.no_grad()
def _encode(model: VAE, x: Float[Tensor, "batch *event"]) -> Distribution:
    posterior = model.encode(x)
    if type(posterior) not in LOCAL_FAMILIES:
        families = " and ".join(family.__name__ for family in LOCAL_FAMILIES)
        raise ConfigError(
            f"the best local posterior is searched in the families {families}; the encoder's is a "
            f"{type(posterior).__name__}."
        )
    return posterior


@contextmanager
def _frozen(model: VAE) -> Iterator[None]:
    """No gradients for the model's parameters, as long as this lasts."""
    required = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.requires_grad_(False)
        yield
    finally:
        for parameter, requires_grad in required:
            parameter.requires_grad_(requires_grad)


def _refuse_deterministic(model: VAE) -> None:
    if model.is_deterministic:
        raise ConfigError("a point-mass posterior has no ELBO, hence no inference gap; use another model.posterior.")
