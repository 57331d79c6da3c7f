"""Probes of conditions find what is in z, and nothing where z is free of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lowerbound.data.examples import Examples
from lowerbound.data.splits import Splits
from lowerbound.evaluation import condition_metrics
from lowerbound.evaluation.condition_metrics import why_no_condition_probes
from lowerbound.evaluation.config import EvaluationConfig
from lowerbound.evaluation.metrics import Subject
from lowerbound.foundation.schema import Column, Schema
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model

SITE = Column(name="site", kind="categorical", levels=("A", "B"))
AGE = Column(name="age", kind="numeric")
NUM = 400


def subject(leaks: bool) -> Subject:
    """A model whose code is its example, which contains both conditions or neither of them."""
    noise = np.random.default_rng(0)
    context = np.stack([noise.integers(0, 2, NUM), noise.normal(size=NUM)], 1).astype(np.float32)
    x = noise.normal(size=(NUM, 2)).astype(np.float32) + 4 * leaks * context
    examples = Examples(x, 1.0, layout="array", context=context)
    parts = {"train": examples.subset(np.arange(NUM // 2)), "test": examples.subset(np.arange(NUM // 2, NUM))}
    schema = Schema(layout="array", shape=(2,), dtype="float32", conditions=(SITE, AGE))
    splits = Splits(
        name="made", **parts, validation=parts["test"], label_names=(), monitored="validation", source="",
        binarisation="", checksum="", schema=schema,
    )  # fmt: skip
    config = ModelConfig(hidden=(), latent_dim=2, likelihood="gaussian", condition_on=("site", "age"))
    model = build_model(config, (2,), generator(0, "weights"), conditions=[SITE, AGE])
    with torch.no_grad():
        model.encoder.network.heads.weight.zero_()
        model.encoder.network.heads.weight[:2, :2] = torch.eye(2)
    return Subject(model.eval(), splits, EvaluationConfig(), "density")


@pytest.mark.parametrize("leaks", [False, True])
def test_what_z_contains_is_found_and_nothing_else(leaks):
    measured = condition_metrics.condition_metrics(subject(leaks))
    scores = {score.name: score for score in measured.scores}
    chance, probe = scores["chance-site"], scores["probe-site"]
    assert chance.standard_error == pytest.approx((chance.value * (1 - chance.value) / (NUM / 2)) ** 0.5)
    if leaks:
        assert probe.value > 0.95
        assert scores["probe-age"].value > 0.9
    else:
        assert abs(probe.value - chance.value) < 3 * chance.standard_error
        assert abs(scores["probe-age"].value) < 3 * scores["probe-age"].standard_error


def test_an_unconditional_model_has_none():
    known = subject(leaks=False)
    model = build_model(ModelConfig(hidden=(), likelihood="gaussian"), (2,), generator(0, "weights"))
    assert why_no_condition_probes(known) == ""
    assert why_no_condition_probes(replace(known, model=model)) == "the model is not conditional"
