"""The parts of a model that leave it: encoder, decoder and their composition, as functions of named tensors.

    encoder    x         -> mean, log_variance
    decoder    z         -> mean, and the likelihood's parameters
    vae        x, noise  -> mean, log_variance, z, reconstruction, log_likelihood, rate, elbo

Nothing in them draws: the noise of z = mean + exp(log_variance / 2) * noise comes from whoever calls. A plain
autoencoder has `code` in place of mean and log-variance, needs no noise, and has no rate and no ELBO.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import jaxtyping
import torch
from torch import Tensor, nn

from lowerbound.evaluation.feature_samples import best_guess
from lowerbound.models.vae import VAE
from lowerbound.networks.kernels import choose_kernels
from lowerbound.probability.distributions import DiagonalNormal
from lowerbound.probability.kl import kl_divergence
from lowerbound.serving.portable.decoder_outputs import likelihood_outputs

NUM_TRACED = 3  # examples that an exporter follows through a part; a single one it would take for all there are

Direction = Literal["input", "output"]


@dataclass(frozen=True, eq=False)
class Port:
    """A tensor that goes into a part or comes out of it; its first axis is the batch."""

    direction: Direction
    name: str
    event_shape: tuple[int, ...]  # without the batch
    about: str


@dataclass(frozen=True, eq=False)
class Part:
    """One function: a module from tensors to a dictionary of them, and inputs of zeros to follow it with."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]

    @torch.no_grad()
    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Its outputs as PyTorch computes them; of `inputs` it takes those that it has."""
        outputs: dict[str, Tensor] = self.module(**{name: inputs[name] for name in self.inputs})
        return outputs

    def ports(self) -> list[Port]:
        """Its inputs and outputs, in order."""
        return self._ports("input", self.inputs, INPUTS) + self._ports("output", self(self.inputs), OUTPUTS[self.name])

    def _ports(self, direction: Direction, tensors: Mapping[str, Tensor], words: Mapping[str, str]) -> list[Port]:
        return [
            Port(direction, name, tuple(tensor.shape[1:]), words.get(name, f"{name.replace('_', ' ')} of p(x|z)"))
            for name, tensor in tensors.items()
        ]


def encoder_part(model: VAE) -> Part:
    """Examples to the posterior q(z|x)."""
    half = _with_networks(model, model.encoder, nn.Identity())
    return Part("encoder", _Encoder(half).eval(), _zeros(model, "x"))


def decoder_part(model: VAE) -> Part:
    """Latents to the likelihood p(x|z)."""
    half = _with_networks(model, nn.Identity(), model.decoder)
    return Part("decoder", _Decoder(half).eval(), _zeros(model, "z"))


def vae_part(model: VAE) -> Part:
    """Examples and noise to a draw from the posterior, its reconstruction and the ELBO."""
    if model.is_deterministic:
        return Part("vae", _Autoencoder(model).eval(), _zeros(model, "x"))
    return Part("vae", _Whole(model).eval(), _zeros(model, "x", "noise"))


def parts_of(model: VAE) -> list[Part]:
    """All of PARTS, in that order."""
    return [part(model) for part in PARTS.values()]


def export_copy(model: VAE) -> VAE:
    """A copy in single precision on the CPU, in the layout and the order of summation that every program has."""
    plain = deepcopy(model).to("cpu", torch.float32).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    choose_kernels(plain, fast=False)
    return plain.eval().requires_grad_(False)


def program_of(part: Part) -> torch.export.ExportedProgram:
    """A part followed by torch.export, for any number of examples."""
    batch = torch.export.Dim("batch")
    shapes = {name: {0: batch} for name in part.inputs}
    with _unchecked_shapes():
        return torch.export.export(part.module, (), dict(part.inputs), dynamic_shapes=shapes)


@contextmanager
def _unchecked_shapes() -> Iterator[None]:
    # Where annotations are checked, comparing the batch with a number would make it one.
    was_off = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", was_off)


def _with_networks(model: VAE, encoder: nn.Module, decoder: nn.Module) -> VAE:
    """The same model with other networks: a file of one half does not carry the weights of the other."""
    return VAE(
        config=model.config,
        event_shape=model.event_shape,
        encoder=encoder,
        decoder=decoder,
        likelihood=model.likelihood,
        posterior=model.posterior,
        prior=model.prior,
    )


def _zeros(model: VAE, *names: str) -> dict[str, Tensor]:
    """Inputs of a few examples; zeros are in the support of every likelihood."""
    shapes = {"x": model.event_shape, "z": (model.latent_dim,), "noise": (model.latent_dim,)}
    like = next(model.parameters())
    return {name: like.new_zeros(NUM_TRACED, *shapes[name]) for name in names}


class _Encoder(nn.Module):
    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        posterior = self.model.encode(x)
        return _latent_outputs(posterior) if isinstance(posterior, DiagonalNormal) else {"code": posterior.mean}


class _Decoder(nn.Module):
    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor) -> dict[str, Tensor]:
        return likelihood_outputs(self.model, self.model.decode(z))


class _Whole(nn.Module):
    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, noise: Tensor) -> dict[str, Tensor]:
        posterior = self.model.encode(x)
        assert isinstance(posterior, DiagonalNormal)
        z = posterior.mean + posterior.standard_deviation * noise
        likelihood = self.model.decode(z)
        densities = likelihood.log_prob(x), kl_divergence(posterior, self.model.prior())
        log_likelihood, rate = (density.to(x.dtype) for density in densities)
        return {
            **_latent_outputs(posterior),
            "z": z,
            "reconstruction": best_guess(self.model, likelihood),
            "log_likelihood": log_likelihood,
            "rate": rate,
            "elbo": log_likelihood - rate,
        }


class _Autoencoder(nn.Module):
    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        code = self.model.encode(x).mean
        likelihood = self.model.decode(code)
        reconstruction = best_guess(self.model, likelihood)
        return {"code": code, "reconstruction": reconstruction, "log_likelihood": likelihood.log_prob(x).to(x.dtype)}


def _latent_outputs(posterior: DiagonalNormal) -> dict[str, Tensor]:
    return {"mean": posterior.mean, "log_variance": posterior.log_variance}


INPUTS = {
    "x": "examples, as the model takes them",
    "z": "latents",
    "noise": "standard normal draws, one for each latent; zeros give z = mean",
}

_LATENTS = {
    "mean": "mean of q(z|x)",
    "log_variance": "logarithm of the variance of q(z|x)",
    "code": "the code of a plain autoencoder",
}

OUTPUTS = {
    "encoder": _LATENTS,
    "decoder": {
        "mean": "mean of p(x|z)",
        "logits": "logits of p(x|z)",
        "probabilities": "probability of each level, which are the last axis",
        "standard_deviation": "standard deviation of p(x|z)",
        "log_weight": "logarithm of each logistic's weight; components are the last axis",
        "location": "location of each logistic, in units of the range from 0 to 1",
        "log_scale": "logarithm of each logistic's scale, in the same units",
        "log_rate": "logarithm of the expected count",
        "log_mean": "logarithm of the expected count",
        "log_r": "logarithm of the shape r: the variance is mean + mean² / r",
        "best_guess": "mean of each cell; of a category its most probable code",
    },
    "vae": {
        **_LATENTS,
        "z": "mean + exp(log_variance / 2) * noise, a draw from q(z|x)",
        "reconstruction": "mean of p(x|z); of a category its most probable code",
        "log_likelihood": "log p(x|z), in nats",
        "rate": "KL(q(z|x) || p(z)), in nats",
        "elbo": "log_likelihood - rate, in nats: the ELBO from one draw",
    },
}
"""What the outputs of each part are, in words."""

PARTS = {"encoder": encoder_part, "decoder": decoder_part, "vae": vae_part}
