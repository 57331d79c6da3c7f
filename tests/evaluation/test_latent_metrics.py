"""What the code knows, as scores: against closed forms and against codes made on purpose."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lowerbound.data.sources import DataConfig, Examples, Splits, load
from lowerbound.evaluation.config import EvaluationConfig
from lowerbound.evaluation.latent_metrics import latent_metrics
from lowerbound.evaluation.metrics import Subject
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model


def by_name(model, splits):
    found = latent_metrics(Subject(model, splits, EvaluationConfig(), "density"))
    return {score.name: score for score in found.scores}


def splits_of(examples: Examples) -> Splits:
    return replace(load(DataConfig()), train=examples, validation=examples, test=examples)


def test_the_rate_is_the_sum_of_its_parts_and_every_used_unit_is_counted(linear_gaussian):
    x = linear_gaussian.data.sample(2000, generator(1, "many"))
    examples = Examples(x.reshape(-1, 2, 3, 1).float().numpy(), 1.0)
    scores = by_name(linear_gaussian.model.float(), splits_of(examples))
    posterior = linear_gaussian.data.posterior_covariance().diagonal()
    # I(x; z) of two normals: the prior's entropy less the posterior's.
    information = -0.5 * posterior.log().sum().item()
    found = scores["mutual-information"]
    assert found.value == pytest.approx(information, abs=4 * found.standard_error + 0.02)
    assert abs(scores["aggregate-kl"].value) < 0.05
    assert (scores["active-units"].value, scores["active-units"].standard_error) == (2, None)
    assert "linear-probe" not in scores  # there are no labels


def test_the_score_notes_too_few_images_for_the_information():
    splits = load(DataConfig())
    few = replace(splits, test=splits.test.subset(np.arange(20)))
    model = build_model(ModelConfig(hidden=(16,), latent_dim=20), (1, 8, 8), generator(0, "w"))
    with torch.no_grad():
        model.encoder.heads.bias[20:] = -8.0  # narrow posteriors: every code tells its image
    assert "log n = 3.0" in by_name(model, few)["mutual-information"].description


def test_probes_read_labels_off_codes_that_hold_them_and_not_off_others():
    # One pixel tells the label, and the encoder passes on that pixel or another.
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    images = np.stack([labels, rng.integers(0, 2, 400)], 1).reshape(-1, 1, 2, 1).astype(np.uint8)
    splits = splits_of(Examples(images, 1.0, labels))
    model = build_model(ModelConfig(hidden=(), latent_dim=1), (1, 1, 2), generator(0, "w"))
    accuracies = []
    for pixel in (0, 1):
        with torch.no_grad():
            model.encoder.heads.weight.zero_()[0, pixel] = 1.0
        scores = by_name(model, splits)
        accuracies.append([scores[name].value for name in ("linear-probe", "neighbour-probe")])
    assert accuracies[0] == [1.0, 1.0]
    assert all(0.35 < accuracy < 0.65 for accuracy in accuracies[1])
