"""Exported models with latents on the sphere, on the simplex and of one-hot codes."""

import re

import pytest
import torch
from torch.testing import assert_close

from lowerbound.foundation.seeding import generator
from lowerbound.probability.kl import kl_divergence
from lowerbound.probability.posteriors import POSTERIORS
from lowerbound.serving.portable.latent_outputs import WITH_DRAWS, noise_size
from lowerbound.serving.portable.onnx_form import onnx_bytes
from lowerbound.serving.portable.parts import PARTS, decoder_part, encoder_part, parts_of, reason_without_vae, vae_part
from portable_models import computed, session_of
from small_models import SHAPE, small

NUM = 6


@pytest.fixture
def x():
    return torch.rand(NUM, *SHAPE, generator=generator(0, "x")).round()


def model_of(posterior):
    return small(posterior=posterior).eval().requires_grad_(False)


@pytest.mark.parametrize("posterior", ["gumbel-softmax", "logistic-normal"])
def test_the_whole_model_scores_a_draw_in_its_space(posterior, x):
    model = model_of(posterior)
    noise = torch.randn(NUM, noise_size(model), generator=generator(0, "noise"))
    session = session_of(onnx_bytes(vae_part(model)))
    outputs = computed(session, {"x": x, "noise": noise})
    model.check_codes(outputs["z"])
    q = model.encode(x)
    assert_close(outputs["rate"], kl_divergence(q, model.prior()).float(), rtol=1e-5, atol=1e-5)
    assert_close(outputs["log_likelihood"], model.decode(outputs["z"]).log_prob(x).float(), rtol=1e-5, atol=1e-5)
    assert_close(computed(session, {"x": x, "noise": torch.zeros_like(noise)})["z"], q.centre)


def test_the_draws_of_exported_codes_have_the_probabilities_of_the_model(x):
    model, num = model_of("gumbel-softmax"), 20_000
    part = vae_part(model)
    noise = torch.randn(num, 10, generator=generator(0, "noise"))
    z = part({"x": x[:1].expand(num, -1, -1, -1), "noise": noise})["z"]
    probability = model.encode(x[:1]).mean[0]
    assert ((z.mean(0) - probability).abs() <= 4.5 * (probability * (1 - probability) / num).sqrt()).all()


def test_of_a_sphere_encoder_and_decoder_are_exported_and_the_reason_says_why_no_more(x):
    model = model_of("power-spherical")
    assert [part.name for part in parts_of(model)] == ["encoder", "decoder"]
    assert "they need the inverse of a distribution function" in reason_without_vae(model)
    encoded = computed(session_of(onnx_bytes(encoder_part(model))), {"x": x})
    assert_close(encoded["mean_direction"], model.encode(x).direction)
    assert_close(encoded["concentration"], model.encode(x).concentration)
    decoded = computed(session_of(onnx_bytes(decoder_part(model))), {"z": encoded["mean_direction"]})
    assert_close(decoded["mean"], model.decode(encoded["mean_direction"]).mean)


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_why_draws_are_not_exported_is_said_in_the_names_of_the_setting(posterior):
    reason = reason_without_vae(model_of(posterior))
    has_draws = posterior in (*WITH_DRAWS, "point-mass")  # whose code is no draw
    assert has_draws == (reason == "")
    if reason:
        assert f"draws of posterior {posterior!r} cannot be exported: they " in reason
        assert reason.endswith(f"model.posterior {', '.join(WITH_DRAWS)}.")
        assert not re.search(r"[A-Z]\w+[A-Z]", reason.replace("ONNX", ""))  # no names of classes


def test_other_models_have_all_parts():
    assert [part.name for part in parts_of(model_of("full-normal"))] == list(PARTS)
    assert reason_without_vae(model_of("full-normal")) == ""
