"""The exported parts of a model: encoder, decoder and the whole model, as functions of named tensors.

    encoder    x         -> mean, log_variance
    decoder    z         -> mean, and the likelihood's parameters
    vae        x, noise  -> mean, log_variance, z, reconstruction, log_likelihood, rate, elbo

Nothing in them is random: the noise of z = mean + exp(log_variance / 2) * noise is an input. A posterior with a full
covariance L Lᵀ also has the output `scale_tril`, L, and z = mean + L noise. Draws from a flow are another function of
noise, and its mean and variance those of fixed draws. A deterministic autoencoder has `code` in place of mean and
log-variance, no noise, no rate and no ELBO.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from lowerbound.evaluation.feature_samples import best_guess
from lowerbound.foundation.errors import UsageError
from lowerbound.models.vae import VAE
from lowerbound.networks import onnx_export
from lowerbound.probability.kl import has_closed_form_kl, kl_divergence
from lowerbound.serving.portable.decoder_outputs import likelihood_outputs
from lowerbound.serving.portable.latent_outputs import (
    check_posterior,
    noise_size,
    posterior_outputs,
    prior_log_density,
    reparameterise,
)

NEEDED = {
    "encoder": ("encoder", "posterior", "likelihood"),
    "decoder": ("decoder", "likelihood", "prior"),
    "vae": ("encoder", "posterior", "prior", "decoder", "likelihood"),
}
"""The parts of a model that each exported part consists of."""

Direction = Literal["input", "output"]


@dataclass(frozen=True, eq=False)
class Port:
    """An input or output tensor of a part; its first axis is the batch."""

    direction: Direction
    name: str
    event_shape: tuple[int, ...]  # without the batch
    about: str


@dataclass(frozen=True, eq=False)
class Part:
    """A module that maps named tensors to a dictionary of tensors, and inputs of zeros to trace it with."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]

    @torch.no_grad()
    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs computed by PyTorch; inputs that the part does not have are ignored."""
        outputs: dict[str, Tensor] = self.module(**{name: inputs[name] for name in self.inputs})
        return outputs

    def ports(self) -> list[Port]:
        """The inputs and outputs, in order."""
        return self._ports("input", self.inputs, INPUTS) + self._ports("output", self(self.inputs), OUTPUTS[self.name])

    def _ports(self, direction: Direction, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> list[Port]:
        return [
            Port(direction, name, tuple(tensor.shape[1:]), about.get(name, f"{name.replace('_', ' ')} of p(x|z)"))
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
    """Examples and noise to a draw from the posterior, its reconstruction and the ELBO.

    UsageError for a posterior whose draws are not a known function of one number of noise for each latent.
    """
    if model.is_deterministic:
        return Part("vae", _Autoencoder(model).eval(), _zeros(model, "x"))
    check_posterior(model)
    whole = _with_networks(model, model.encoder, model.decoder)
    return Part("vae", _VariationalAutoencoder(whole).eval(), _zeros(model, "x", "noise"))


def parts_of(model: VAE) -> list[Part]:
    """All of PARTS that the model has, in that order; `reason_without_vae` is why there is no "vae"."""
    names = [name for name in PARTS if name != "vae" or not reason_without_vae(model)]
    return [PARTS[name](model) for name in names]


def reason_without_vae(model: VAE) -> str:
    """Why draws of the model cannot be exported, so that it has no part "vae"; empty if they can be."""
    try:
        vae_part(model)
    except UsageError as error:
        return str(error)
    return ""


@contextmanager
def exporting(name: str, model: VAE) -> Iterator[None]:
    """RunError for whatever fails while a part is exported; it names the part, and those in it that are not ours."""
    with onnx_export.exporting(name, _own_parts(name, model)):
        yield


def _own_parts(name: str, model: VAE) -> str:
    """The parts of a model that do not come with this package; empty without one."""
    own = [
        f"{kind} {type(part).__name__}"
        for kind in NEEDED.get(name, NEEDED["vae"])
        if type(part := getattr(model, kind)).__module__.partition(".")[0] not in ("lowerbound", "torch")
    ]
    return ", ".join(own)


def _with_networks(model: VAE, encoder: nn.Module, decoder: nn.Module) -> VAE:
    """The same model with these networks, so that a file of one half does not contain the weights of the other.

    A prior that uses the encoder is replaced by its present distribution.
    """
    return VAE(
        config=model.config,
        event_shape=model.event_shape,
        encoder=encoder,
        decoder=decoder,
        likelihood=model.likelihood,
        posterior=model.posterior,
        prior=model.prior.standalone(),
        encoding=model.encoding,
    )


def _zeros(model: VAE, *names: str) -> dict[str, Tensor]:
    """Zeros for a few examples; zero is in the support of every likelihood."""
    shapes = {"x": model.event_shape, "z": (model.latent_dim,), "noise": (noise_size(model),)}
    if model.takes_context and model.encoding is None:
        raise UsageError("networks of your own take a context of which nothing is known here; it cannot be exported.")
    if model.takes_context:
        shapes["context"] = (len(model.conditions),)
        names = (*names, "context")
    like = next(model.parameters())
    return {name: like.new_zeros(onnx_export.NUM_TRACED, *shapes[name]) for name in names}


class Half(nn.Module):
    """A part of a model, as a function of tensors."""

    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = model

    def given(self, context: Tensor | None) -> VAE:
        """The model; a conditional one with the features of a context, which is another input of the part."""
        if context is None or self.model.encoding is None:
            return self.model
        return self.model.given_features(self.model.encoding(context))


class _Encoder(Half):
    def forward(self, x: Tensor, context: Tensor | None = None) -> dict[str, Tensor]:
        return posterior_outputs(self.given(context).encode(x))


class _Decoder(Half):
    def forward(self, z: Tensor, context: Tensor | None = None) -> dict[str, Tensor]:
        model = self.given(context)
        return likelihood_outputs(model, model.decode(z))


class _VariationalAutoencoder(Half):
    def forward(self, x: Tensor, noise: Tensor, context: Tensor | None = None) -> dict[str, Tensor]:
        model = self.given(context)
        posterior, prior = model.encode(x), model.prior()
        z, log_posterior = reparameterise(posterior, noise)
        likelihood = model.decode(z)
        closed_form = has_closed_form_kl(posterior, prior)
        rate = kl_divergence(posterior, prior) if closed_form else log_posterior - prior_log_density(prior, z)
        log_likelihood, rate = (density.to(x.dtype) for density in (likelihood.log_prob(x), rate))
        return {
            **posterior_outputs(posterior),
            "z": z,
            "reconstruction": best_guess(model, likelihood),
            "log_likelihood": log_likelihood,
            "rate": rate,
            "elbo": log_likelihood - rate,
        }


class _Autoencoder(Half):
    def forward(self, x: Tensor, context: Tensor | None = None) -> dict[str, Tensor]:
        model = self.given(context)
        code = model.encode(x).centre
        likelihood = model.decode(code)
        reconstruction = best_guess(model, likelihood)
        return {"code": code, "reconstruction": reconstruction, "log_likelihood": likelihood.log_prob(x).to(x.dtype)}


INPUTS = {
    "x": "examples, on the model's scale",
    "z": "latents",
    "noise": "standard normal noise; zeros give the centre of q(z|x), such as its mean",
    "context": "conditions: positions of levels from 0, and numbers minus their column's offset",
}

_LATENTS = {
    "mean": "mean of q(z|x)",
    "log_variance": "logarithm of the variance of q(z|x)",
    "scale_tril": "lower triangular L of the covariance L Lᵀ of q(z|x)",
    "code": "the code of a deterministic autoencoder, or the most probable one-hot code",
    "probabilities": "probability of each category",
    "mean_direction": "mean direction of q(z|x), of length 1",
    "concentration": "concentration of q(z|x) around its mean direction",
    "centre": "centre of q(z|x) on the simplex, the softmax of its location",
    "location": "means of the normal numbers of q(z|x)",
}

OUTPUTS = {
    "encoder": _LATENTS,
    "decoder": {
        "mean": "mean of p(x|z)",
        "logits": "logits of p(x|z)",
        "probabilities": "probability of each level; levels are the last axis",
        "standard_deviation": "standard deviation of p(x|z)",
        "log_weight": "log-weight of each logistic; components are the last axis",
        "location": "location of each logistic, in units of the range from 0 to 1",
        "log_scale": "log-scale of each logistic, in the same units",
        "log_rate": "logarithm of the expected count",
        "log_mean": "logarithm of the expected count",
        "log_r": "logarithm of the shape r: the variance is mean + mean² / r",
        "best_guess": "mean of each cell; for categorical values, the most probable level",
    },
    "vae": {
        **_LATENTS,
        "z": "draw from q(z|x), such as mean + exp(log_variance / 2) * noise, mean + scale_tril noise, or a flow of "
        "the noise",
        "reconstruction": "mean of p(x|z); for categorical values, the most probable level",
        "log_likelihood": "log p(x|z), in nats",
        "rate": "KL(q(z|x) || p(z)), in nats; without a closed form, log q(z|x) - log p(z)",
        "elbo": "log_likelihood - rate, in nats: the ELBO from one draw",
    },
}
"""Descriptions of the outputs of each part."""

PARTS = {"encoder": encoder_part, "decoder": decoder_part, "vae": vae_part}
