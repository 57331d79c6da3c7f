"""models_of: the ONNX models of the page, which are the decoder with log p(z), and the whole model."""

from dataclasses import replace

import torch
from torch import nn

from lowerbound.models.vae import VAE
from lowerbound.networks.onnx_export import export_copy
from lowerbound.probability.distributions import DiagonalNormal
from lowerbound.probability.flow_prior import FlowNormal
from lowerbound.probability.normals import MixtureOfNormals
from lowerbound.probability.one_hot import CategoricalCodes
from lowerbound.probability.prior import Prior
from lowerbound.probability.simplex import LogisticNormal
from lowerbound.probability.sphere import UniformOnSphere
from lowerbound.serving.explorer.loaded_run import LoadedRun
from lowerbound.serving.explorer.shared_weights import share_weights, with_outputs
from lowerbound.serving.portable.latent_outputs import prior_log_density
from lowerbound.serving.portable.onnx_form import onnx_bytes
from lowerbound.serving.portable.parts import Part, decoder_part, exporting, reason_without_vae, vae_part

VAE_OUTPUTS = ("code", "mean", "log_variance", "scale_tril", "log_likelihood", "rate")

EXPORTABLE = DiagonalNormal | MixtureOfNormals | FlowNormal | UniformOnSphere | CategoricalCodes | LogisticNormal
"""Families of priors whose density consists of operations that ONNX has."""


def models_of(loaded: LoadedRun) -> dict[str, bytes]:
    """The decoder, with log p(z) if it can be exported, and for images the whole model, as ONNX."""
    model = _exportable(loaded)
    models = {"decoder": _decoder_bytes(model)}
    if loaded.schema.has_pictures and not reason_without_encoder(model):
        with exporting("vae", model):
            models["vae"] = onnx_bytes(vae_part(model))
    return share_weights(models, {"decoder": _decoder_outputs(loaded), "vae": VAE_OUTPUTS})


def decoder_model(loaded: LoadedRun) -> bytes:
    """The decoder alone, as one ONNX file with its weights."""
    return with_outputs(_decoder_bytes(_exportable(loaded)), _decoder_outputs(loaded))


def _exportable(loaded: LoadedRun) -> VAE:
    with exporting("model", loaded.model):
        return export_copy(loaded.model)


def _decoder_bytes(model: VAE) -> bytes:
    with exporting("decoder", model):
        return onnx_bytes(_decoder(model))


def _decoder_outputs(loaded: LoadedRun) -> tuple[str, ...]:
    """The outputs that the page displays."""
    return ("best_guess" if loaded.layout == "table" else "mean", "log_prior")


def _decoder(model: VAE) -> Part:
    part = decoder_part(model)
    if not model.has_prior or not isinstance(model.prior(), EXPORTABLE):
        return part
    return replace(part, module=_DecoderWithPrior(part.module, model.prior.standalone()).eval())


class _DecoderWithPrior(nn.Module):
    def __init__(self, decoder: nn.Module, prior: Prior) -> None:
        super().__init__()
        self.decoder, self.prior = decoder, prior

    def forward(self, z: torch.Tensor) -> dict[str, torch.Tensor]:
        return {**self.decoder(z), "log_prior": prior_log_density(self.prior(), z).to(z.dtype)}


def reason_without_encoder(model: VAE) -> str:
    """Why the page cannot encode images; empty if it can."""
    return f"the encoder of this page {model.why_not_real}." if model.why_not_real else reason_without_vae(model)
