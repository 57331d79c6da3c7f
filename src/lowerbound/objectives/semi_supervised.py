"""semi_supervised_loss: the objective of a model whose labels are known for some examples and inferred for the others.

    J(x, y) = S(x, y) + log p(y)                                     with a label
    U(x)    = sum over y of q(y|x) (S(x, y) + log p(y) - log q(y|x))  without one

S(x, y) is the bound on log p(x|y), and p(y) is uniform over the levels of the condition. What is minimised is minus the
mean of these bounds, plus the weighted cross-entropy of q(y|x) on labelled examples. The sum over y is taken over all
levels, so that it has no variance.

Source: Kingma, Rezende, Mohamed and Welling, "Semi-supervised Learning with Deep Generative Models", arXiv:1406.5298,
Equations 6 to 9 (model M2).
"""

import math

import torch
from jaxtyping import Bool, Float, Int64
from torch import Generator, Tensor

from lowerbound.data.batches import Batch
from lowerbound.models.missing_labels import log_prob_of_levels
from lowerbound.models.vae import VAE
from lowerbound.objectives.objective import CLASSIFICATION, Loss, Objective
from lowerbound.objectives.rates import Scale, true_rate


def semi_supervised_loss(
    model: VAE, objective: Objective, batch: Batch, noise: Generator, rate_scale: Scale = 1.0
) -> Loss:
    """The loss of a batch whose context is NaN where the label is missing; ready to be differentiated.

    The cross-entropy is that of `batch.labelled`, or of the labelled examples of the batch itself if there are none.
    The rate of an example is that of z and y together: it includes -log p(y), or the KL of q(y|x) from p(y).
    """
    assert batch.context is not None
    x, labels = batch.x, batch.context.reshape(len(batch.x), -1)[:, 0]
    log_q = log_prob_of_levels(model, x)
    num_levels = log_q.shape[1]
    rows = Enumeration(labels, num_levels)
    samples = model.given(rows.labels).sample_posterior(x[rows.examples], noise, objective.num_samples)
    log_share = rows.of_labels(log_q)
    log_prior = -math.log(num_levels)
    bound = rows.mean(objective.bound_of_rows(samples, rate_scale) + log_prior - log_share, log_share)
    found = _cross_entropy(model, batch, labels, log_q)
    with torch.no_grad():
        rate = rows.mean(true_rate(samples) + log_share - log_prior, log_share)
        distortion = rows.mean(-samples.log_likelihood.mean(dim=0), log_share)
    weighted = objective.classification_weight * found
    return Loss(
        value=weighted - bound.mean(),
        objective=(bound - weighted).detach(),
        distortion=distortion,
        rate=rate,
        penalties={CLASSIFICATION: found.detach()} if objective.classification_weight else {},
    )


class Enumeration:
    """The rows of a batch with labels: a labelled example has one row, any other one a row for each level."""

    examples: Int64[Tensor, " row"]  # the position of the example of each row
    labels: Float[Tensor, " row"]

    def __init__(self, labels: Float[Tensor, " batch"], num_levels: int) -> None:
        self.size, self.num_levels = len(labels), num_levels
        self.is_known: Bool[Tensor, " batch"] = ~labels.isnan()
        known, unknown = self.is_known.nonzero()[:, 0], (~self.is_known).nonzero()[:, 0]
        levels = torch.arange(num_levels, device=labels.device).to(labels)
        self.num_known = len(known)
        self.examples = torch.cat([known, unknown.repeat_interleave(num_levels)])
        self.labels = torch.cat([labels[known], levels.repeat(len(unknown))])

    def of_labels(self, log_q: Float[Tensor, "batch level"]) -> Float[Tensor, " row"]:
        """log q(y|x) of each row, which is 0 for a known label."""
        of_unknown = log_q[~self.is_known].flatten()
        return torch.cat([of_unknown.new_zeros(self.num_known), of_unknown])

    def mean(self, values: Float[Tensor, " row"], log_share: Float[Tensor, " row"]) -> Float[Tensor, " batch"]:
        """The sum of values of the rows of each example, in its order in the batch, weighted by their shares."""
        return values.new_zeros(self.size).index_add(0, self.examples, log_share.exp() * values)


def _cross_entropy(
    model: VAE, batch: Batch, labels: Float[Tensor, " batch"], log_q: Float[Tensor, "batch level"]
) -> Float[Tensor, ""]:
    """The mean of -log q(y|x) over labelled examples, in nats; 0 if there are none."""
    if batch.labelled is not None:
        assert batch.labelled.context is not None
        labels = batch.labelled.context.reshape(len(batch.labelled.x), -1)[:, 0]
        log_q = log_prob_of_levels(model, batch.labelled.x)
    is_known = ~labels.isnan()
    if not is_known.any():
        return log_q.new_zeros(())
    return -log_q[is_known].gather(1, labels[is_known].long()[:, None]).mean()
