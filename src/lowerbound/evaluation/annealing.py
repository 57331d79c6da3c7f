"""Annealed importance sampling (AIS) for log p(x): chains, temperature schedules, pilot, checkpoints.

Chains walk the path of `hamiltonian.py`, f_β = base · ratio^β, over inverse temperatures 0 = β_0 < ... < β_T = 1. A
chain starts with an exact draw z_0 from the base. At each temperature its weight is updated, and then a transition that
leaves f_{β_t} invariant moves it from z_{t-1} to z_t. The weight is unbiased for any T, however badly transitions mix:

    log w = Σ_t (β_t - β_{t-1}) log ratio(z_{t-1}),   E[w] = p(x)

Therefore the log of a mean of weights is a stochastic lower bound: its expectation is at most log p(x) and converges
to it. A pilot run with separate chains finds the step sizes of every example and temperature, which the weighted chains
use unchanged: adapting them to the acceptance of the weighted chains would introduce a bias.

Source: Neal, "Annealed Importance Sampling", arXiv:physics/9803008; for decoders, Wu, Burda, Salakhutdinov and
Grosse, "On the Quantitative Analysis of Decoder-Based Generative Models", arXiv:1611.04273.

For grey pixels under a Bernoulli likelihood this is the grey log-evidence, log ∫ p(z) exp(E_b[log p(b|z)]) dz.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from lowerbound.evaluation.hamiltonian import BASES, AnnealedPath, Point, transition
from lowerbound.evaluation.importance import effective_sample_size
from lowerbound.foundation.errors import ConfigError, RunError
from lowerbound.foundation.numerics import log_mean_exp
from lowerbound.foundation.settings import check_fields, setting
from lowerbound.foundation.tensor_files import load_tensors, save_tensors
from lowerbound.models.vae import VAE

SIGMOID_RADIUS = 4.0
"""The sigmoid schedule is the logistic function on [-radius, radius], rescaled to [0, 1]."""

ADAPTATION_RATE = 0.2
"""Change of log(step size) from one temperature of the pilot to the next, per unit of excess acceptance."""


def sigmoid_schedule(num_temperatures: int) -> Float[Tensor, " temperature"]:
    """β_0 to β_T along the logistic function: close together at both ends.

    Source: the published code of Wu et al., arXiv:1611.04273.
    """
    at = torch.linspace(-SIGMOID_RADIUS, SIGMOID_RADIUS, num_temperatures + 1, dtype=torch.float64).sigmoid()
    return (at - at[0]) / (at[-1] - at[0])


def linear_schedule(num_temperatures: int) -> Float[Tensor, " temperature"]:
    """β_0 to β_T, evenly spaced."""
    return torch.linspace(0, 1, num_temperatures + 1, dtype=torch.float64)


ANNEALING_SCHEDULES: dict[str, Callable[[int], Tensor]] = {"sigmoid": sigmoid_schedule, "linear": linear_schedule}


@dataclass(frozen=True, kw_only=True)
class AnnealingConfig:
    """Settings of annealed importance sampling."""

    num_temperatures: int = setting(1000, "Inverse temperatures from 0 to 1.", at_least=1)
    num_leapfrog: int = setting(10, "Leapfrog steps of a transition; each decodes once.", at_least=1)
    num_chains: int = setting(16, "Chains for each example.", at_least=1)
    num_pilot_chains: int = setting(
        2, "Chains for each example that find step sizes; 0: `step_size` is used throughout.", at_least=0
    )
    step_size: float = setting(0.1, "Initial step size of the pilot, in units of the latents.", above=0)
    # Wu et al. use 0.65. At 0.9 the mean log-weight of dense models of MNIST was higher by 0.8 nats with 150
    # temperatures and by 0.2 nats with 600.
    target_acceptance: float = setting(0.9, "Acceptance rate that the pilot aims at.", above=0, below=1)
    schedule: str = setting("sigmoid", "Spacing of the inverse temperatures.", names=ANNEALING_SCHEDULES)
    start: str = setting("prior", "Distribution that the chains start from.", names=BASES)

    def __post_init__(self) -> None:
        check_fields(self, "evaluation.annealing")


@dataclass(frozen=True, eq=False)
class AnnealedEvidence:
    """Log-weights of annealed chains, in nats, and their acceptance rates."""

    log_weight: Float[Tensor, "chain batch"]  # float64
    acceptance: Float[Tensor, " batch"]  # mean over chains and transitions; NaN without transitions

    @property
    def log_evidence(self) -> Float[Tensor, " batch"]:
        """Log of the mean weight, in nats: a stochastic lower bound on log p(x) for given examples."""
        return log_mean_exp(self.log_weight, dim=0)

    @property
    def effective_sample_size(self) -> Float[Tensor, " batch"]:
        """Effective sample size of the chains' weights, from 1 to the number of chains."""
        return effective_sample_size(self.log_weight)


@dataclass(frozen=True, kw_only=True)
class AnnealingProgress:
    """Progress of annealing; only the last record has the `evidence`."""

    stage: str  # "pilot", then "weighted"
    temperature: int  # number completed in this stage
    num_temperatures: int
    acceptance: float  # of the last transition, mean over examples and chains
    evidence: AnnealedEvidence | None


def annealed_evidence(
    model: VAE, x: Float[Tensor, "batch *event"], config: AnnealingConfig, generator: Generator
) -> AnnealedEvidence:
    """Log-weights of chains for each example, in nats; `log_evidence` is a stochastic lower bound on log p(x).

    All examples are annealed together; the memory is that of decoding chains × batch latents. ConfigError for a
    deterministic autoencoder.
    """
    *_, last = anneal(model, x, config, generator)
    assert last.evidence is not None
    return last.evidence


def anneal(
    model: VAE,
    x: Float[Tensor, "batch *event"],
    config: AnnealingConfig,
    generator: Generator,
    *,
    checkpoint: Path | None = None,
    save_every: int = 100,
) -> Iterator[AnnealingProgress]:
    """Generator form of `annealed_evidence`: a record after each temperature; the last one has the result.

    With a `checkpoint` file the state, including the generator's, is saved every `save_every` temperatures. If the file
    exists, annealing continues from it, bit for bit on the same machine, number of threads and torch build. RunError if
    the file is damaged or was written for another model, other examples or other settings; ConfigError for a
    deterministic autoencoder.
    """
    if save_every < 1:
        raise ConfigError(f"save_every needs at least 1 temperature, got {save_every}.")
    run = Annealing.start(model, x, config, generator)
    origin = {"fingerprint": _fingerprint(model, x), "config": asdict(config)}
    if checkpoint is not None and checkpoint.exists():
        run.restore(checkpoint, origin)
        yield run.progress()
    while not run.is_finished:
        run.advance()
        if checkpoint is not None and (run.is_finished or run.chains.temperature % save_every == 0):
            run.save(checkpoint, origin)
        yield run.progress()


@dataclass(frozen=True, eq=False)
class Ladder:
    """Inverse temperatures in the order of the chains, and the step sizes at those between the two ends."""

    inverse_temperatures: list[float]
    step_sizes: Float[Tensor, "between batch"]
    num_leapfrog: int

    @property
    def num_temperatures(self) -> int:
        """Number of increments from one end to the other."""
        return len(self.inverse_temperatures) - 1

    def reversed(self) -> "Ladder":
        """The ladder in the opposite direction."""
        return Ladder(self.inverse_temperatures[::-1], self.step_sizes.flip(0), self.num_leapfrog)


@dataclass(kw_only=True)
class Chains:
    """State of the chains: positions, log-weights and acceptance rates."""

    point: Point
    log_weight: Float[Tensor, "chain batch"]  # float64
    acceptance: Float[Tensor, " batch"]  # of the last transition, mean over chains
    total_acceptance: Float[Tensor, " batch"]  # over all transitions
    temperature: int = 0  # number completed

    @classmethod
    def at(cls, point: Point) -> "Chains":
        """Chains at their starting point, with log-weight 0."""
        nothing = torch.zeros_like(point.log_base, dtype=torch.float64)
        return cls(point=point, log_weight=nothing, acceptance=nothing[0], total_acceptance=nothing[0])

    def evidence(self) -> AnnealedEvidence:
        """The result of completed chains; the last temperature has no transition."""
        return AnnealedEvidence(self.log_weight, self.total_acceptance / (self.temperature - 1))


def advance(chains: Chains, path: AnnealedPath, ladder: Ladder, generator: Generator) -> None:
    """Advance by one temperature: update the weight, then move. The last temperature needs no move."""
    done = chains.temperature
    before, beta = ladder.inverse_temperatures[done : done + 2]
    chains.log_weight = chains.log_weight + (beta - before) * chains.point.log_ratio.double()
    chains.temperature += 1
    if chains.temperature < ladder.num_temperatures:
        move = transition(path, chains.point, beta, ladder.step_sizes[done], ladder.num_leapfrog, generator)
        chains.point = move.point
        chains.acceptance = move.acceptance.double().mean(0)
        chains.total_acceptance = chains.total_acceptance + chains.acceptance


def adapt_step_sizes(ladder: Ladder, chains: Chains, target_acceptance: float) -> None:
    """Set the step sizes of the next temperature: longer if acceptance was above the target, shorter if below.

    Source: Andrieu and Thoms, "A tutorial on adaptive MCMC", 2008, Algorithm 4.
    """
    done = chains.temperature
    if done < len(ladder.step_sizes):
        change = ADAPTATION_RATE * (chains.acceptance - target_acceptance)
        ladder.step_sizes[done] = ladder.step_sizes[done - 1] * change.exp()


@dataclass(kw_only=True)
class Annealing:
    """Complete state of an annealing run, so that saving and restoring it is exact."""

    path: AnnealedPath
    config: AnnealingConfig
    generator: Generator
    ladder: Ladder  # the pilot sets its step sizes
    chains: Chains
    stage: str

    @classmethod
    def start(
        cls, model: VAE, x: Float[Tensor, "batch *event"], config: AnnealingConfig, generator: Generator
    ) -> "Annealing":
        """A run at its start; ConfigError for a deterministic autoencoder."""
        path = AnnealedPath.of(_with_evidence(model), x, config.start)
        chains = Chains.at(path.draw(generator, config.num_pilot_chains or config.num_chains))
        shape = (config.num_temperatures - 1, len(x))
        return cls(
            path=path,
            config=config,
            generator=generator,
            ladder=Ladder(
                ANNEALING_SCHEDULES[config.schedule](config.num_temperatures).tolist(),
                chains.point.z.new_full(shape, config.step_size),
                config.num_leapfrog,
            ),
            chains=chains,
            stage="pilot" if config.num_pilot_chains else "weighted",
        )

    @property
    def is_finished(self) -> bool:
        return self.stage == "weighted" and self._is_stage_finished

    @property
    def _is_stage_finished(self) -> bool:
        return self.chains.temperature == self.ladder.num_temperatures

    def advance(self) -> None:
        """Advance the pilot by one temperature or, once it is complete, the weighted chains."""
        if self._is_stage_finished:
            self.stage = "weighted"
            self.chains = Chains.at(self.path.draw(self.generator, self.config.num_chains))
        advance(self.chains, self.path, self.ladder, self.generator)
        if self.stage == "pilot":
            adapt_step_sizes(self.ladder, self.chains, self.config.target_acceptance)

    def progress(self) -> AnnealingProgress:
        return AnnealingProgress(
            stage=self.stage,
            temperature=self.chains.temperature,
            num_temperatures=self.ladder.num_temperatures,
            acceptance=float(self.chains.acceptance.mean()),
            evidence=self.chains.evidence() if self.is_finished else None,
        )

    def save(self, path: Path, origin: Mapping[str, Any]) -> None:
        tensors = {name: getattr(self.chains, name) for name in CHAIN_STATE}
        tensors |= {"z": self.chains.point.z, "step_sizes": self.ladder.step_sizes}
        tensors |= {"generator": self.generator.get_state()}
        save_tensors(path, tensors, {**origin, "stage": self.stage, "temperature": self.chains.temperature})

    def restore(self, path: Path, origin: Mapping[str, Any]) -> None:
        """Restore the saved state; RunError if it is damaged or belongs to another run."""
        tensors, numbers = load_tensors(path)
        missing = {"z", "step_sizes", "generator", *CHAIN_STATE, "stage", "temperature"} - {*tensors, *numbers}
        if missing:
            raise RunError(f"{path} is damaged ({min(missing)} is missing); remove it.")
        if any(numbers.get(key) != value for key, value in origin.items()):
            raise RunError(
                f"{path} was written for another model, other examples or other settings; "
                "remove it, or choose another file."
            )
        device = self.ladder.step_sizes.device
        # Densities and scores are recomputed from z. Tensors of a file begin anywhere in memory, those of torch at
        # multiples of 64 bytes, and matrix products are rounded accordingly: a copy gives the same values to the bit.
        self.chains = Chains.at(self.path.at(tensors["z"].clone().to(device)))
        for name in CHAIN_STATE:
            setattr(self.chains, name, tensors[name].to(device))
        self.ladder.step_sizes.copy_(tensors["step_sizes"])
        self.generator.set_state(tensors["generator"])
        self.stage, self.chains.temperature = numbers["stage"], numbers["temperature"]


CHAIN_STATE = ("log_weight", "acceptance", "total_acceptance")
"""Names of the chains' accumulated tensors in a checkpoint."""


def _with_evidence(model: VAE) -> VAE:
    if model.is_deterministic:
        raise ConfigError("a deterministic autoencoder (posterior 'point-mass') has no evidence to estimate.")
    if model.why_not_real:
        raise ConfigError(f"annealing {model.why_not_real}; use importance-weighted bounds.")
    return model


def _fingerprint(model: VAE, x: Tensor) -> str:
    """SHA-256 of the weights and the examples, in hexadecimal."""
    digest = hashlib.sha256()
    given = {} if model.context is None else {"context": model.context}
    for name, tensor in {**model.state_dict(), **given, "x": x}.items():
        content = tensor.detach().cpu().contiguous()
        digest.update(f"{name}/{content.dtype}/{tuple(content.shape)}".encode())
        digest.update(content.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
