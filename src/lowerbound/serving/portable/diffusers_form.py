"""Export to the folder that AutoencoderKL of the diffusers library loads, for latent diffusion.

config.json                            sizes, and scaling_factor: 1 / standard deviation of the latents
diffusion_pytorch_model.safetensors    the weights, with the model's origin in the metadata
README.md                              what both mean

AutoencoderKL takes and gives images in [-1, 1], and the network "autoencoder-kl" computes the maps from and to [0, 1]
outside of the layers that are written, so that the written weights are the model's own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load as read_tensors
from safetensors.torch import save
from torch import Tensor, nn

from lowerbound.data.batches import scaled
from lowerbound.data.examples import Examples
from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.schema import Schema
from lowerbound.foundation.seeding import generator
from lowerbound.foundation.text import pluralise
from lowerbound.models.vae import VAE
from lowerbound.networks.autoencoder_kl import Down, Up, num_groups
from lowerbound.probability.levels import DiscretizedLogistics
from lowerbound.probability.likelihoods import DiscretizedLogisticLikelihood, GaussianLikelihood
from lowerbound.probability.posteriors import DiagonalNormalPosterior
from lowerbound.serving.portable.parts import Part, Port

WEIGHTS, CONFIG, README = "diffusion_pytorch_model.safetensors", "config.json", "README.md"
FILES = (CONFIG, WEIGHTS, README)
NETWORK = "autoencoder-kl"
ACTIVATIONS = ("silu", "relu")
"""Activations that both libraries have."""

MOST_EXAMPLES = 2000  # whose latents the scaling factor is measured with
BATCH_SIZE = 100


@dataclass(frozen=True)
class Scaling:
    """The standard deviation of the latents over draws from the posteriors of examples, all positions together."""

    deviation: float
    num_examples: int

    @property
    def factor(self) -> float:
        """By which latents are multiplied, so that their standard deviation is 1."""
        return 1 / self.deviation

    @property
    def about(self) -> str:
        """How it was measured, in words."""
        of = f"one draw from the posterior of each of {pluralise(self.num_examples, 'training example')}"
        return f"1 / {self.deviation:.4g}, the standard deviation of the latents in {of}"


def check_model(model: VAE, schema: Schema) -> None:
    """UsageError, in one line, for a model that AutoencoderKL cannot express."""
    problem, config, likelihood = "", model.config, model.likelihood
    if config.network != NETWORK:
        problem = f"has network {config.network!r}; train one with model.network={NETWORK!r}"
    elif model.takes_context:
        problem = "is conditional, and AutoencoderKL takes images alone; train one without model.condition_on"
    elif not isinstance(model.posterior, DiagonalNormalPosterior):
        problem = f"has posterior {config.posterior!r}; train one with model.posterior='diagonal-normal'"
    elif config.activation not in ACTIVATIONS:
        problem = f"has activation {config.activation!r}; train one with model.activation='silu'"
    elif isinstance(likelihood, GaussianLikelihood) and likelihood.mean_map != "identity":
        problem = "maps its output by a sigmoid; train one with model.likelihood_options.mean_map='identity'"
    elif not isinstance(likelihood, GaussianLikelihood | DiscretizedLogisticLikelihood):
        problem = f"has likelihood {config.likelihood!r}; train one with model.likelihood='gaussian'"
    elif isinstance(likelihood, DiscretizedLogisticLikelihood) and likelihood.num_components > 1:
        problem = "has several logistics for each value; train one with model.likelihood_options.num_components=1"
    elif schema.support.low < 0 or schema.support.high > 1:
        problem = f"was trained on values in {schema.support.interval}, not [0, 1]; train one with data.range"
    if problem:
        raise UsageError(f"AutoencoderKL of diffusers cannot express this model: it {problem}.")


@torch.no_grad()
def measured_scaling(model: VAE, examples: Examples) -> Scaling:
    """The scaling of a model's latents, over examples spread evenly over the given ones."""
    count = min(len(examples), MOST_EXAMPLES)
    chosen = torch.linspace(0, len(examples) - 1, count).long()
    stream, draws = generator(0, "scaling"), []
    for indices in chosen.split(BATCH_SIZE):
        draws.append(model.encode(scaled(examples.subset(indices.numpy()))).sample(stream, 1)[0].double())
    return Scaling(torch.cat(draws).std().item(), count)


def contents_of(model: VAE, scaling: Scaling, about: Mapping[str, str]) -> dict[str, bytes]:
    """The content of each file; `about` becomes metadata of the weights."""
    described = {**about, "scaling_factor": repr(scaling.factor), "scaling_factor_from": scaling.about}
    weights = {name: tensor.float().clone(memory_format=torch.contiguous_format) for name, tensor in weights_of(model)}
    config = json.dumps(config_of(model, scaling.factor), indent=2) + "\n"
    return {
        CONFIG: config.encode(),
        WEIGHTS: save(weights, {"format": "pt", **described}),
        README: _readme(model, scaling, about).encode(),
    }


def config_of(model: VAE, scaling_factor: float) -> dict[str, Any]:
    """The arguments of AutoencoderKL."""
    config, (height, width, num_channels) = model.config, model.latent_shape
    colours, depth = model.event_shape[0], len(config.channels)
    return {
        "_class_name": "AutoencoderKL",
        "act_fn": config.activation,
        "block_out_channels": list(config.channels),
        "down_block_types": ["DownEncoderBlock2D"] * depth,
        "in_channels": colours,
        "latent_channels": num_channels,
        "layers_per_block": config.num_blocks,
        "norm_num_groups": num_groups(config.channels),
        "out_channels": colours,
        "sample_size": max(height, width) * 2 ** (depth - 1),
        "scaling_factor": scaling_factor,
        "up_block_types": ["UpDecoderBlock2D"] * depth,
    }


PLACES = {"encoder.": ("encoder", "body."), "quant_conv.": ("encoder", "heads.")}
PLACES |= {"post_quant_conv.": ("decoder", "body.1."), "decoder.": ("decoder", "body.2.")}
"""Prefixes of names there: the network here, and the prefix in it."""

LAST = ("decoder.conv_out.", "output.")


def weights_of(model: VAE) -> list[tuple[str, Tensor]]:
    """The weights under their names in AutoencoderKL; its image is the mean, or the location, mapped to [-1, 1]."""
    states = {"encoder": model.encoder.state_dict(), "decoder": model.decoder.state_dict()}
    found = [
        (there + name.removeprefix(here), tensor)
        for there, (network, here) in PLACES.items()
        for name, tensor in states[network].items()
        if name.startswith(here)
    ]
    there, here = LAST
    colours = model.event_shape[0]
    last = {name: states["decoder"][here + name][:colours] for name in ("weight", "bias")}
    if isinstance(model.likelihood, DiscretizedLogisticLikelihood):
        last["bias"] = last["bias"] + 1  # a location is the raw output + 1/2, and the image twice that - 1
    return found + [(there + name, tensor) for name, tensor in last.items()]


class _Rebuilt(nn.Module):
    """The functions of AutoencoderKL, from the written files alone."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        super().__init__()
        config, weights = json.loads(contents[CONFIG]), read_tensors(contents[WEIGHTS])
        filters, depth, act = tuple(config["block_out_channels"]), config["layers_per_block"], config["act_fn"]
        num_channels = config["latent_channels"]
        self.encoder = Down(config["in_channels"], filters, depth, 2 * num_channels, act)
        self.quant_conv = nn.Conv2d(2 * num_channels, 2 * num_channels, 1)
        self.post_quant_conv = nn.Conv2d(num_channels, num_channels, 1)
        self.decoder = Up(num_channels, filters, depth, act)
        self.decoder.conv_out = nn.Conv2d(filters[0], config["out_channels"], 3, padding=1)
        self.load_state_dict(weights, strict=True)

    def forward(self, image: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.quant_conv(self.encoder(image)).chunk(2, dim=1)
        return mean, log_variance, self.decoder.conv_out(self.decoder(self.post_quant_conv(z)))  # type: ignore[operator]


class _Reference(nn.Module):
    """A model's own results in the form of AutoencoderKL's: latents as maps, images in [-1, 1]."""

    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, z: Tensor) -> dict[str, Tensor]:
        mean, log_variance = self.model.raw_posterior(x).chunk(2, dim=-1)
        decoded = self.model.decode(z)
        logistic = isinstance(decoded, DiscretizedLogistics)
        image = decoded.location[..., 0].to(z.dtype) if logistic else decoded.mean  # type: ignore[attr-defined]
        return {
            "mean": as_map(self.model, mean),
            "log_variance": as_map(self.model, log_variance),
            "image": 2 * image - 1,
        }


def as_map(model: VAE, z: Tensor) -> Tensor:
    """Latents, N × latent, in the layout of AutoencoderKL: N × channel × height × width."""
    return z.unflatten(1, model.latent_shape).permute(0, 3, 1, 2)


def reference_part(model: VAE) -> Part:
    """What the written files must reproduce."""
    like = next(model.parameters())
    inputs = {"x": like.new_zeros(2, *model.event_shape), "z": like.new_zeros(2, model.latent_dim)}
    return Part("autoencoder", _Reference(model).eval(), inputs)


class Computed:
    """The written files as a function of the inputs of `reference_part`."""

    def __init__(self, model: VAE, contents: Mapping[str, bytes]) -> None:
        self.model, self.rebuilt = model, _Rebuilt(contents).eval()

    @torch.no_grad()
    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        outputs = self.rebuilt(2 * inputs["x"] - 1, as_map(self.model, inputs["z"]))
        return dict(zip(("mean", "log_variance", "image"), outputs, strict=True))


def ports_of(model: VAE) -> tuple[Port, ...]:
    """The inputs and outputs of AutoencoderKL."""
    height, width, num_channels = model.latent_shape
    image, latents = model.event_shape, (num_channels, height, width)
    return (
        Port("input", "x", image, "images in [-1, 1]: 2x - 1 of the model's"),
        Port("output", "latent_dist.mean", latents, "mean of q(z|x)"),
        Port("output", "latent_dist.logvar", latents, "logarithm of the variance of q(z|x)"),
        Port("input", "z", latents, "latents"),
        Port("output", "sample", image, "images in [-1, 1]"),
    )


def _readme(model: VAE, scaling: Scaling, about: Mapping[str, str]) -> str:
    height, width, num_channels = model.latent_shape
    colours, tall, wide = model.event_shape
    logistic = isinstance(model.likelihood, DiscretizedLogisticLikelihood)
    decoded = "location of the logistic p(x|z) of each value" if logistic else "mean of p(x|z)"
    return f"""---
library_name: diffusers
---

# AutoencoderKL

Trained by lowerbound {about["lowerbound"]} (recipe {about["recipe"]!r}) on {about["data"]!r}; checksum of the model
{about["checksum"]}.

```python
from diffusers import AutoencoderKL

vae = AutoencoderKL.from_pretrained("FOLDER")
posterior = vae.encode(x).latent_dist  # x: N x {colours} x {tall} x {wide}, from -1 to 1
z = vae.config.scaling_factor * posterior.sample()  # N x {num_channels} x {height} x {width}, of standard deviation 1
x = vae.decode(z / vae.config.scaling_factor).sample  # the {decoded}, from -1 to 1; not clamped
```

- Values: -1 and 1 here are 0 and 1 of the model, {about["layout"]}.
- `scaling_factor` is {scaling.factor:.6g} = {scaling.about}.
  Their mean is not subtracted.
- Latents are those of the model, whose order is height, width, channel. Log-variances are clamped to ±15 by
  the model, and to -30 and 20 by diffusers.
- The prior ({about["prior"]!r}) is not part of the files.
"""
