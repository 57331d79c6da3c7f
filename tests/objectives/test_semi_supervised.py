"""Tests of the semi-supervised objective against the conditional model's, and against its formula written out."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from lowerbound.data.batches import Batch
from lowerbound.evaluation.classification_metrics import LabelBounds
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.schema import Column
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.models.families import Families
from lowerbound.models.vae import VAE
from lowerbound.objectives.objective import Objective
from lowerbound.objectives.semi_supervised import semi_supervised_loss
from lowerbound.training.step import loss_of

LABEL = Column(name="label", kind="categorical", levels=("a", "b", "c"))
WEIGHT = 0.7


def _model(classifier: bool = True) -> VAE:
    config = ModelConfig(hidden=(7,), latent_dim=2, condition_on=("label",), classifier=classifier)
    return build_model(config, (5,), generator(0, "weights"), conditions=[LABEL]).double()


def _batch(*labels: float) -> Batch:
    x = torch.bernoulli(torch.full((len(labels), 5), 0.5, dtype=torch.float64), generator=generator(1, "x"))
    return Batch(x, torch.tensor(labels, dtype=torch.float64)[:, None])


def _objective(model: VAE) -> Objective:
    return Objective(classification_weight=WEIGHT).fitted_to(Families.of_model(model))


def test_with_every_label_the_loss_is_that_of_the_conditional_model_plus_the_cross_entropy():
    model, batch = _model(), _batch(0, 2, 1, 1)
    loss = loss_of(model, _objective(model), batch, generator(2, "noise"))
    plain = loss_of(_model(classifier=False), Objective().fitted_to(Families.of_model(model_without())), batch,
                    generator(2, "noise"))  # fmt: skip
    surprise = cross_entropy(model.classifier(batch.x), batch.context[:, 0].long())
    assert_close(loss.value, plain.value + math.log(3) + WEIGHT * surprise)
    assert_close(loss.elbo, plain.elbo - math.log(3))


def model_without() -> VAE:
    return _model(classifier=False)


def test_loss_and_gradient_are_those_of_the_formula_written_out():
    nan = math.nan
    model, batch = _model(), _batch(nan, 2, nan, 0)
    model.encoder.requires_grad_(True)
    loss = semi_supervised_loss(model, _objective(model), batch, generator(3, "noise"))
    found = torch.autograd.grad(loss.value, list(model.parameters()))

    # Rows in the order in which noise is drawn: labelled examples, then every label of the others.
    examples, labels = [1, 3, 0, 0, 0, 2, 2, 2], [2.0, 0.0, 0.0, 1.0, 2.0, 0.0, 1.0, 2.0]
    given = model.given(torch.tensor(labels, dtype=torch.float64)[:, None])
    samples = given.sample_posterior(batch.x[examples], generator(3, "noise"))
    q = given.encode(batch.x[examples])
    kl = 0.5 * (q.mean**2 + q.variance - 1 - q.variance.log()).sum(1)
    bound = samples.log_likelihood[0] - kl - math.log(3)
    log_q = model.classifier(batch.x).log_softmax(1)
    total = bound[0] + bound[1]
    for row in range(2, 8):
        log_share = log_q[examples[row], int(labels[row])]
        total = total + log_share.exp() * (bound[row] - log_share)
    surprise = -(log_q[1, 2] + log_q[3, 0]) / 2
    expected = -total / 4 + WEIGHT * surprise
    assert_close(loss.value, expected)
    for one, other in zip(found, torch.autograd.grad(expected, list(model.parameters())), strict=True):
        assert_close(one, other)
    assert_close(loss.elbo.mean(), total.detach() / 4)


def test_the_unlabelled_bound_is_below_the_enumerated_one_and_equal_for_the_exact_share_of_labels():
    of_labels = torch.randn(6, 4, dtype=torch.float64, generator=generator(4, "bounds"))
    log_q = torch.randn(6, 4, dtype=torch.float64, generator=generator(5, "shares")).log_softmax(1)
    bounds = LabelBounds(of_labels, log_q)
    assert (bounds.unlabelled < bounds.enumerated).all()
    exact = LabelBounds(of_labels, of_labels.log_softmax(1))
    assert_close(exact.unlabelled, exact.enumerated)


@pytest.mark.parametrize(
    "settings", [{"bound": "iwae"}, {"gradient": "stl"}, {"rate": "free-bits"}, {"penalties": {"mmd": 1.0}}]
)
def test_objectives_that_are_not_an_expectation_over_labels_are_refused(settings):
    with pytest.raises(ConfigError, match=r"model\.classifier"):
        Objective(**settings).fitted_to(Families.of_model(_model()))


def test_a_weight_without_a_classifier_is_refused():
    with pytest.raises(ConfigError, match="classification_weight is 1"):
        Objective(classification_weight=1.0).fitted_to(Families.of_model(model_without()))
