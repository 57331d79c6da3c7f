"""The parts of a model that leave it: encoder, decoder and their composition, as functions of named tensors.

    encoder    x         -> mean, log_variance
    decoder    z         -> mean and the likelihood's parameters
    vae        x, noise  -> mean, log_variance, z, reconstruction, log_likelihood, rate, elbo

Nothing in them draws: the noise of z = mean + exp(log_variance / 2) * noise comes from whoever calls. A plain
autoencoder has `code` in place of mean and log-variance, and needs no noise.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lowerbound.evaluation.elements import best_guess
from lowerbound.model import VAE
from lowerbound.networks.kernels import choose_kernels
from lowerbound.probability.distributions import kl_divergence
from lowerbound.serving.portable_outputs import likelihood_outputs

NUM_TRACED = 3  # examples that an exporter follows through a part; 1 would be taken for a constant


@dataclass(frozen=True, eq=False)
class Part:
    """One function to export: a module from tensors to a dictionary of them, and inputs to follow it with."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]

    @torch.no_grad()
    def __call__(self, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
        """Its outputs, by name, as PyTorch computes them."""
        outputs: dict[str, Tensor] = self.module(*inputs)
        return outputs


def program_of(part: Part) -> torch.export.ExportedProgram:
    """A part followed by torch.export, for any number of examples."""
    batch = torch.export.Dim("batch")
    shapes = {name: {0: batch} for name in part.inputs}
    return torch.export.export(part.module, (), dict(part.inputs), dynamic_shapes=shapes)


def encoder_part(model: VAE) -> Part:
    """Examples to the posterior q(z|x)."""
    plain = plain_form(model)
    return Part("encoder", _Encoder(plain).eval(), {"x": traced_examples(plain)})


def decoder_part(model: VAE) -> Part:
    """Latents to the likelihood p(x|z)."""
    plain = plain_form(model)
    return Part("decoder", _Decoder(plain).eval(), {"z": torch.zeros(NUM_TRACED, plain.latent_dim)})


def whole_part(model: VAE) -> Part:
    """Examples and noise to a draw from the posterior, its reconstruction and the ELBO."""
    plain = plain_form(model)
    x = traced_examples(plain)
    if plain.is_deterministic:
        return Part("vae", _Autoencoder(plain).eval(), {"x": x})
    return Part("vae", _Whole(plain).eval(), {"x": x, "noise": torch.zeros(NUM_TRACED, plain.latent_dim)})


def parts_of(model: VAE) -> list[Part]:
    """All three."""
    return [encoder_part(model), decoder_part(model), whole_part(model)]


def plain_form(model: VAE) -> VAE:
    """A copy in single precision on the CPU, in the layout and the order of summation that every program has."""
    plain = deepcopy(model).to("cpu", torch.float32).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    choose_kernels(plain, fast=False)
    return plain.eval().requires_grad_(False)


def traced_examples(model: VAE) -> Float[Tensor, "batch *event"]:
    """Examples of zeros, which are in the support of every likelihood."""
    return torch.zeros(NUM_TRACED, *model.event_shape)


class _Encoder(nn.Module):
    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        posterior = self.model.encode(x)
        if self.model.is_deterministic:
            return {"code": posterior.mean}
        return {"mean": posterior.mean, "log_variance": posterior.log_variance}


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
        z = posterior.mean + posterior.standard_deviation * noise
        likelihood = self.model.decode(z)
        log_likelihood, rate = likelihood.log_prob(x), kl_divergence(posterior, self.model.prior())
        return {
            "mean": posterior.mean,
            "log_variance": posterior.log_variance,
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
        return {
            "code": code,
            "reconstruction": best_guess(self.model, likelihood),
            "log_likelihood": likelihood.log_prob(x),
        }
