"""models_of: the ONNX models of the page, which are the decoder with log p(z), and the whole model."""

from dataclasses import replace

import torch
from torch import nn

from lowerbound.models.vae import VAE
from lowerbound.networks.onnx_export import export_copy
from lowerbound.probability.distributions import DiagonalNormal
from lowerbound.probability.flow_prior import FlowNormal
from lowerbound.probability.hierarchy import HierarchicalNormal
from lowerbound.probability.normals import MixtureOfNormals
from lowerbound.probability.one_hot import CategoricalCodes
from lowerbound.probability.simplex import LogisticNormal
from lowerbound.probability.sphere import UniformOnSphere
from lowerbound.serving.explorer.loaded_run import LoadedRun
from lowerbound.serving.explorer.shared_weights import share_weights, with_outputs
from lowerbound.serving.portable.latent_outputs import prior_log_density
from lowerbound.serving.portable.onnx_form import onnx_bytes
from lowerbound.serving.portable.parts import Half, Part, decoder_part, exporting, reason_without_vae, vae_part

VAE_OUTPUTS = ("code", "mean", "log_variance", "scale_tril", "log_likelihood", "rate")

EXPORTABLE = (
    DiagonalNormal
    | HierarchicalNormal
    | MixtureOfNormals
    | FlowNormal
    | UniformOnSphere
    | CategoricalCodes
    | LogisticNormal
)
"""Families of priors whose density consists of operations that ONNX has."""


def models_of(loaded: LoadedRun) -> dict[str, bytes]:
    """The decoder, with log p(z) if it can be exported, and for images the whole model, as ONNX.

    Of latents in levels also the decoder of each upper level, with the levels below it at their means.
    """
    model = _exportable(loaded)
    models = {"decoder": _decoder_bytes(model)}
    upper = {f"decoder-{level + 1}": _decoder_bytes(model, level) for level in range(1, len(model.level_names))}
    models |= upper
    if loaded.schema.has_pictures and not reason_without_encoder(model):
        with exporting("vae", model):
            models["vae"] = onnx_bytes(vae_part(model))
    outputs = dict.fromkeys(("decoder", *upper), _decoder_outputs(loaded))
    return share_weights(models, {**outputs, "vae": VAE_OUTPUTS})


def decoder_model(loaded: LoadedRun) -> bytes:
    """The decoder alone, as one ONNX file with its weights."""
    return with_outputs(_decoder_bytes(_exportable(loaded)), _decoder_outputs(loaded))


def _exportable(loaded: LoadedRun) -> VAE:
    with exporting("model", loaded.model):
        return export_copy(loaded.model)


def _decoder_bytes(model: VAE, level: int = 0) -> bytes:
    with exporting("decoder", model):
        return onnx_bytes(_decoder(model, level))


def _decoder_outputs(loaded: LoadedRun) -> tuple[str, ...]:
    """The outputs that the page displays."""
    return ("best_guess" if loaded.layout == "table" else "mean", "log_prior")


def _decoder(model: VAE, level: int) -> Part:
    part = decoder_part(model)
    if not model.has_prior or not isinstance(model.prior.family(), EXPORTABLE):
        return part
    assert isinstance(part.module, Half)
    return replace(part, module=_DecoderWithPrior(part.module, level).eval())


class _DecoderWithPrior(nn.Module):
    """The decoder with log p(z), of latents whose levels nearer x than `level` are at their means."""

    def __init__(self, decoder: Half, level: int) -> None:
        super().__init__()
        self.decoder, self.level = decoder, level

    def forward(self, z: torch.Tensor, context: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        prior = self.decoder.given(context).prior()
        z = prior.completed(z, self.level) if self.level else z
        return {**self.decoder(z, context), "log_prior": prior_log_density(prior, z).to(z.dtype)}


def reason_without_encoder(model: VAE) -> str:
    """Why the page cannot encode images; empty if it can."""
    return f"the encoder of this page {model.why_not_real}." if model.why_not_real else reason_without_vae(model)
