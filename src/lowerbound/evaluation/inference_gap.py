"""Inference gap: approximation gap (family of q) and amortisation gap (encoder), by local optimisation of q.

    log p(x) - ELBO(encoder) = [log p(x) - ELBO(best q)]  +  [ELBO(best q) - ELBO(encoder)]
         inference gap       =     approximation gap      +       amortisation gap

The best q of an example is the member of the encoder's family with the highest ELBO: a normal whose mean and covariance
are optimised for that example alone while the model is fixed. A family that is too narrow causes the first gap, an
encoder that does not find the best member the second. All are in nats.

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
from lowerbound.evaluation.local_posteriors import LOCAL_FAMILIES, check_has_local_family, select_normals, with_mean
from lowerbound.foundation.errors import ConfigError, DataError
from lowerbound.foundation.numerics import Estimate, mean_and_standard_error
from lowerbound.foundation.schedules import cosine
from lowerbound.foundation.seeding import generator
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import Distribution

DECODER_BATCH = 250


@dataclass(frozen=True, kw_only=True)
class GapConfig:
    """Settings of the search for the best Gaussian of each example, and of its evaluation."""

    num_steps: int = 100
    num_draws: int = 8  # for each example and step: pairs mirrored at the mean
    learning_rate: float = 0.3  # Adam's initial one, in posterior standard deviations; decays to 0
    num_prior_draws: int = 5000  # the best is a second start; one in a few hundred may hit a narrow posterior
    num_judging_draws: int = 100  # for each example: new draws for ELBOs that are compared or returned
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
    """Both ELBOs and the evidence of each example, in nats; the ELBOs are means over the same noise."""

    encoder_elbo: Float[Tensor, " n"]
    local_elbo: Float[Tensor, " n"]  # of the best Gaussian found
    log_evidence: Float[Tensor, " n"] | None  # None if unknown

    @property
    def amortisation_gap(self) -> Float[Tensor, " n"]:
        """ELBO of the best Gaussian minus that of the encoder; negative only through noise."""
        return self.local_elbo - self.encoder_elbo

    @property
    def approximation_gap(self) -> Float[Tensor, " n"] | None:
        """log p(x) minus the ELBO of the best Gaussian: KL(q || p(z|x)); None without the evidence."""
        return None if self.log_evidence is None else self.log_evidence - self.local_elbo

    @property
    def mean_amortisation_gap(self) -> Estimate:
        """Mean over examples ± standard error, which includes the noise of the draws."""
        return mean_and_standard_error(self.amortisation_gap)

    @property
    def mean_approximation_gap(self) -> Estimate | None:
        """Mean over examples ± standard error; None if log p(x) is unknown."""
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
    """Both gaps of each example; `log_evidence` is log p(x) of the same examples, exact or estimated.

    Pixels that are redrawn on every pass are those of `scaled(examples)`.

    ConfigError for a model without an ELBO, DataError if the number of values of log p(x) differs from that of
    examples.
    """
    _refuse_deterministic(model)
    if log_evidence is not None and len(log_evidence) != len(examples):
        received = f"{len(log_evidence)} values of log p(x) for {len(examples)} examples"
        raise DataError(f"received {received}; each example needs one.")
    search, judgement = (generator(seed, f"gaps/{name}", device) for name in ("search", "judgement"))
    # All at once: pixels that are redrawn on every pass must be the ones that log p(x) was computed for.
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
    """The member of the encoder's family with the highest ELBO for each example, or the encoder's posterior if no
    better one was found.

    The search starts at the encoder's posterior or, if that has a higher ELBO, at the same normal centred on the most
    probable of many draws from the prior: an inaccurate encoder is often in the basin of a wrong mode.
    """
    _refuse_deterministic(model)
    with frozen(model):
        encoded = _encode(model, x)
        moved = with_mean(encoded, _best_prior_draw(model, x, config.num_prior_draws, generator))
        start = _better(model, x, encoded, moved, config.num_draws, generator)
        found = _climb(model, x, start, config, generator)
        return _better(model, x, encoded, found, config.num_judging_draws, generator)


def _climb(
    model: VAE, x: Float[Tensor, "batch *event"], start: Distribution, config: GapConfig, generator: Generator
) -> Distribution:
    """Maximise the ELBO of each example by Adam, over the parameters of its own normal."""
    family = LOCAL_FAMILIES[type(start)]
    # The optimised variable is the next step, which is applied and then reset to zero.
    size = family.step_size(start)
    step = torch.zeros(len(x), size, dtype=start.mean.dtype, device=x.device, requires_grad=True)
    # A low β2, because the gradient falls by orders of magnitude within a few steps.
    optimiser = torch.optim.Adam([step], config.learning_rate, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda number: cosine(number, config.num_steps))
    posterior = start
    for _ in range(config.num_steps):
        optimiser.zero_grad()
        # Examples are independent: the gradient of the sum contains that of each.
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
    """The ELBO with a low-variance gradient: antithetic draws, and no score of q (as in gradient 'stl')."""
    z = posterior.sample(generator, num_draws // 2)
    z = torch.cat([z, 2 * posterior.mean - z])
    return (model.log_joint(x, z) - posterior.detach().log_prob(z)).mean(0)


@torch.no_grad()
def _best_prior_draw(
    model: VAE, x: Float[Tensor, "batch *event"], num_draws: int, generator: Generator
) -> Float[Tensor, "batch latent"]:
    """The draw z from the prior with the highest p(x, z), for each example."""
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
    """Of two Gaussians the one with the higher ELBO, for each example; the first if they are equal."""
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
    """The ELBO of each example under two posteriors, from the same noise, so that their difference has little."""
    noise, elbos = generator.get_state(), []
    for posterior in posteriors:
        generator.set_state(noise)
        elbo = x.new_zeros(len(x))
        # One draw at a time, so that memory does not grow with the number of draws.
        for _ in range(num_draws):
            z = posterior.sample(generator, 1)
            elbo += (model.log_joint(x, z) - posterior.log_prob(z))[0] / num_draws
        elbos.append(elbo)
    return elbos


@torch.no_grad()
def _encode(model: VAE, x: Float[Tensor, "batch *event"]) -> Distribution:
    posterior = model.encode(x)
    check_has_local_family(posterior, model.config.posterior, "inference gaps")
    return posterior


@contextmanager
def frozen(model: VAE) -> Iterator[None]:
    """Context without gradients for the model's parameters."""
    required = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.requires_grad_(False)
        yield
    finally:
        for parameter, requires_grad in required:
            parameter.requires_grad_(requires_grad)


def _refuse_deterministic(model: VAE) -> None:
    if model.is_deterministic:
        raise ConfigError("a point-mass posterior has no ELBO and no inference gap; use another model.posterior.")
