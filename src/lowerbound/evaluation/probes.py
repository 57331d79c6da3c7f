"""Probes: accuracy of logistic regression and of nearest neighbours that predict labels from latents."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lowerbound.data.sources import Examples
from lowerbound.evaluation.latent_statistics import encode_examples
from lowerbound.foundation.errors import DataError
from lowerbound.foundation.numerics import Estimate, binomial_error
from lowerbound.models.vae import VAE

MAX_PROBED = 100_000


@dataclass(frozen=True, eq=False)
class LabelledCodes:
    """Posterior means with the labels of their examples: the data of a probe."""

    mean: Float[Tensor, "n latent"]
    labels: Int64[Tensor, " n"]


def labelled_codes(model: VAE, examples: Examples, device: torch.device | str = "cpu") -> LabelledCodes:
    """Posterior means with labels, of at most MAX_PROBED examples; DataError if the examples have none."""
    if examples.labels is None:
        raise DataError("a probe needs labels, and these examples have none; use a data set with labels.")
    some = examples.head(MAX_PROBED)
    assert some.labels is not None
    return LabelledCodes(encode_examples(model, some, device).centre.cpu(), torch.from_numpy(some.labels[:]))


def linear_probe(train: LabelledCodes, test: LabelledCodes) -> Estimate:
    """Test accuracy of logistic regression on standardised codes, with its binomial standard error."""
    # Imported here: importing scikit-learn takes a second, and only probes need it.
    from sklearn.linear_model import LogisticRegression

    return _probe(LogisticRegression(max_iter=1000), train, test)


def nearest_neighbour_probe(train: LabelledCodes, test: LabelledCodes, num_neighbours: int = 5) -> Estimate:
    """Test accuracy of a majority vote of the nearest standardised training codes, with binomial standard error."""
    from sklearn.neighbors import KNeighborsClassifier

    return _probe(KNeighborsClassifier(min(num_neighbours, len(train.labels))), train, test)


def _probe(classifier: Any, train: LabelledCodes, test: LabelledCodes) -> Estimate:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), classifier).fit(train.mean.numpy(), train.labels.numpy())
    accuracy = float(probe.score(test.mean.numpy(), test.labels.numpy()))
    return Estimate(accuracy, binomial_error(accuracy, len(test.labels)))
