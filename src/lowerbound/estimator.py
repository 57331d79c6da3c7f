"""VAE: a variational autoencoder as a scikit-learn estimator, from rows of numbers to codes and log-densities.

    from lowerbound.estimator import VAE

    codes = VAE(latent_dim=2).fit_transform(X)

It works in pipelines, grid searches and clones. A row of X is one example; images are flattened. For a likelihood of
real numbers X is standardised, in float64.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from lowerbound.data.batches import Batches, deviation_of, mean_of
from lowerbound.data.sources import Examples
from lowerbound.data.standardisation import Standardisation, standardisation_of, unchanged
from lowerbound.evaluation.generation import drawn_examples
from lowerbound.foundation.arguments import named_arguments
from lowerbound.foundation.errors import DataError, NonFiniteLoss
from lowerbound.foundation.schema import LARGEST, Schema
from lowerbound.foundation.seeding import content_noise, generator
from lowerbound.inference.estimator_input import check_parameters, checked_codes, checked_count, checked_rows
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.models.support import unsupported_values
from lowerbound.models.vae import VAE as Model
from lowerbound.objectives.objective import Objective
from lowerbound.objectives.rates import true_rate
from lowerbound.probability.likelihoods import convention_for
from lowerbound.training.config import TrainingConfig
from lowerbound.training.epoch import EpochLoop, initial_state
from lowerbound.training.state import TrainingState

SCORE_DRAWS = 16
ROWS_AT_ONCE = 1000
STANDARDISED = ("gaussian", "gaussian-per-element", "table")
"""Likelihoods for which X is standardised."""


@named_arguments
class VAE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A dense variational autoencoder over rows of X.

    Parameters
    ----------
    latent_dim : int, default=2
        Length of a code.
    hidden : sequence of int, default=(128,)
        Widths of the encoder's layers; the decoder has them in reverse.
    likelihood : str, default="auto"
        Family of p(x|z), a name in `lowerbound.likelihoods`. "auto" depends on the values of X: Bernoulli for 0 and 1,
        else normal with a standard deviation for each element ("gaussian-per-element").
        "gaussian" has one learned standard deviation, in units of the features' standard deviations. "table" accepts
        missing values, NaN.
    num_epochs : int, default=100
        Passes over the data in `fit`.
    batch_size : int, default=64
        Rows per training step.
    learning_rate : float, default=1e-3
        Of Adam.
    random_state : int, RandomState instance or None, default=0
        Seed of initial weights, order of rows and noise.

    Attributes
    ----------
    model_ : lowerbound.VAE
        The trained model; for continuous likelihoods it works on standardised rows.
    location_, scale_ : ndarray of shape (n_features,)
        Origin and unit of each feature, in float64, of the rows of `fit` or the first `partial_fit`: mean and standard
        deviation for continuous likelihoods; 0 and 1 otherwise. A constant feature has scale 1. A feature that
        is NaN in all these rows has location NaN: its later values are ignored, and outputs are NaN.
    schema_ : lowerbound.foundation.schema.Schema
        Schema of those rows; later rows with values outside the likelihood's support are refused.
    n_features_in_ : int
        Number of features in X.
    feature_names_in_ : ndarray of str
        Names of the features, if X has them.
    """

    model_: Model
    _state: TrainingState

    def __init__(
        self,
        latent_dim: Any = 2,
        *,
        hidden: Any = (128,),
        likelihood: Any = "auto",
        num_epochs: Any = 100,
        batch_size: Any = 64,
        learning_rate: Any = 1e-3,
        random_state: Any = 0,
    ) -> None:
        # Stored unchecked, as scikit-learn requires; fit() checks them.
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.likelihood = likelihood
        self.num_epochs = num_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "VAE":
        """Train a new model on the rows of X; y is ignored. ValueError for an invalid parameter."""
        check_parameters(self)
        if hasattr(self, "model_"):
            del self.model_  # a fit that fails leaves no model behind
        model, seen = self._start(self._rows(X, reset=True))
        self._train(seen, int(self.num_epochs))
        self.model_ = model
        return self

    def partial_fit(self, X: Any, y: Any = None) -> "VAE":
        """Train for one epoch on the rows of X, continuing from the current model.

        The first call determines the likelihood and the standardisation: its rows should resemble those that follow.
        """
        check_parameters(self)
        is_new = not hasattr(self, "model_")
        rows = self._rows(X, reset=is_new)
        model, seen = self._start(rows) if is_new else (self.model_, self._seen(rows))
        self._train(seen, 1)
        self.model_ = model
        return self

    def transform(self, X: Any) -> Float[np.ndarray, "n latent"]:
        """The means of the rows' posteriors."""
        check_is_fitted(self, "model_")
        rows = self._rows(X, reset=False)
        return self._measured(self._seen(rows), lambda model, x: model.encode(x).mean).astype(rows.dtype)

    def inverse_transform(self, Z: Any) -> Float64[np.ndarray, "n feature"]:
        """The mean of p(x|z) for each code, in the units of X."""
        check_is_fitted(self, "model_")
        codes = checked_codes(Z, self.model_.latent_dim)
        return self._standardisation.restored(self._measured(codes, lambda model, z: model.decode(z).mean))

    def score_samples(
        self, X: Any, return_std: bool = False
    ) -> Float64[np.ndarray, " n"] | tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
        """The ELBO of each row, a lower bound on log p(x), in nats; a row's score does not depend on other rows.

        It is a mean over draws; with `return_std` its standard error is returned, too.
        """
        check_is_fitted(self, "model_")
        seen = self._seen(self._rows(X, reset=False))
        elbo, standard_error = self._measured(seen, _elbo).T
        elbo = elbo - self._standardisation.log_volume(seen)
        return (elbo, standard_error) if return_std else elbo

    def score(self, X: Any, y: Any = None) -> float:
        """The mean ELBO of the rows, in nats; higher is better.

        Scores are comparable only between models with the same kind of likelihood. For "bernoulli", "categorical",
        "discretized-logistic" and counts the score bounds a log-probability, at most 0; for "continuous-bernoulli",
        "gaussian", "gaussian-per-element" and numbers of a "table" it bounds a log-density, which is unbounded and
        depends on the units of X. A grid search over `likelihood` must not mix the two kinds.
        """
        return float(np.mean(self.score_samples(X)))

    def sample(self, n_samples: Any = 1) -> Float64[np.ndarray, "n feature"]:
        """Rows drawn from the model, in the units of X: codes from the prior, then rows from p(x|z).

        The first rows do not depend on `n_samples`.
        """
        check_is_fitted(self, "model_")
        num_rows = checked_count("n_samples", n_samples)
        return self._standardisation.restored(drawn_examples(self._in_float64(), num_rows, self._seed).numpy())

    @property
    def _n_features_out(self) -> int:
        return self.model_.latent_dim

    @property
    def _standardisation(self) -> Standardisation:
        return Standardisation(self.location_, self.scale_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.allow_nan = self.likelihood == "table"
        tags.input_tags.sparse = True
        tags.non_deterministic = False
        return tags

    def _rows(self, X: Any, reset: bool) -> Float[np.ndarray, "n feature"]:
        return checked_rows(self, X, reset, has_missing=self.likelihood == "table")

    def _start(self, rows: Float[np.ndarray, "n feature"]) -> tuple[Model, Float64[np.ndarray, "n feature"]]:
        """A new model for these rows, and the rows as the model sees them."""
        name = _chosen(rows) if self.likelihood == "auto" else self.likelihood
        standardisation = standardisation_of(rows) if name in STANDARDISED else unchanged(rows.shape[1])
        seen = standardisation.standardised(rows)
        examples = Examples(_single(seen), 1.0, layout="table" if name == "table" else "array")
        self.location_, self.scale_ = standardisation.location, standardisation.scale
        self.schema_ = Schema(
            layout=examples.layout, shape=rows.shape[1:], dtype=rows.dtype.name, support=examples.support
        )
        self._seed = int(check_random_state(self.random_state).randint(2**31))
        model = self._built(name, examples)
        self._state = initial_state(model, Objective(), self._training, "cpu")
        return model, seen

    def _built(self, name: str, examples: Examples) -> Model:
        """A model with new weights; ValueError for examples outside the likelihood's support."""
        config = ModelConfig(
            hidden=tuple(map(int, self.hidden)),
            latent_dim=int(self.latent_dim),
            likelihood=name,
            likelihood_options=_options(name, examples),
            output_bias="mean",
        )
        (width,) = examples.event_shape
        # Exactly 0 and 1: those of a feature without any value would be NaN.
        standard = torch.zeros(width), torch.ones(width)
        statistics = standard if name in STANDARDISED else (mean_of(examples), deviation_of(examples))
        model = build_model(config, examples.event_shape, self._stream("initial weights"), *statistics)
        try:
            convention_for(model.likelihood, examples.support)
        except DataError as error:
            raise ValueError(str(error).replace("save them as 8-bit values", "divide X by its full scale")) from error
        return model

    @property
    def _training(self) -> TrainingConfig:
        return TrainingConfig(
            batch_size=int(self.batch_size),
            learning_rate=float(self.learning_rate),
            max_gradient_norm=1000.0,
            seed=self._seed,
        )

    def _train(self, seen: Float64[np.ndarray, "n feature"], num_epochs: int) -> None:
        """Train the model of the current state on rows as it sees them."""
        loop = EpochLoop(self._state, Objective(), self._training, Batches(self._examples(seen), int(self.batch_size)))
        try:
            for _ in range(num_epochs):
                for _ in loop.steps():
                    pass
                loop.end_epoch()
        except NonFiniteLoss as error:
            cause = str(error).partition(";")[0].rstrip(".")
            advice = f"lower learning_rate ({self.learning_rate:g}) or raise batch_size ({self.batch_size})"
            raise ValueError(f"{cause}; {advice}.") from error
        self._state.model.eval()
        self.n_iter_ = self._state.epoch

    def _examples(self, seen: Float64[np.ndarray, "n feature"]) -> Examples:
        return Examples(_single(seen), 1.0, layout=self.schema_.layout)

    def _seen(self, rows: Float[np.ndarray, "n feature"]) -> Float64[np.ndarray, "n feature"]:
        """The rows as the model sees them; ValueError for the first value outside the likelihood's support."""
        seen = self._standardisation.standardised(rows)
        likelihood, is_binary = self.model_.likelihood, self.schema_.support.is_binary
        # In float32, as in training, where the 1 + 2e-16 of a scaler is 1.
        is_outside = unsupported_values(likelihood, self.schema_, torch.from_numpy(_single(seen)))
        is_far = np.abs(seen) >= LARGEST
        if not (is_outside | is_far).any():
            return seen
        row, column = np.argwhere(is_outside | is_far)[0].tolist()
        accepted = self._within() if is_far[row, column] else likelihood.accepted(is_binary, 0.0, 1.0)
        if self.likelihood == "auto" and not is_far[row, column]:
            accepted += f" ('auto' chose likelihood {self.model_.config.likelihood!r} from the first rows; set another)"
        raise ValueError(f"{self._place(row, column)} is {rows[row, column]:.10g}; the model accepts {accepted}.")

    def _place(self, row: int, column: int) -> str:
        name = self.feature_names_in_[column] if hasattr(self, "feature_names_in_") else column
        return f"X: row {row}, column {name!r}"

    def _within(self) -> str:
        """How far from the rows of the first fit a value may be before it overflows."""
        is_standardised = self.model_.config.likelihood in STANDARDISED
        unit = " standard deviations from the mean of the training data" if is_standardised else ""
        return f"numbers less than {LARGEST:g}{unit}"

    def _measured(
        self, values: Float64[np.ndarray, "n element"], measure: Callable[[Model, Tensor], Tensor]
    ) -> Float64[np.ndarray, "n *measured"]:
        model = self._in_float64()
        with torch.no_grad():
            parts = [measure(model, part) for part in torch.from_numpy(values).split(ROWS_AT_ONCE)]
        measured: np.ndarray = torch.cat(parts).numpy()
        return measured

    def _in_float64(self) -> Model:
        # In float32 the last bits of a row's numbers would depend on the number of rows scored with it.
        return deepcopy(self.model_).double().eval()

    def _stream(self, purpose: str) -> torch.Generator:
        return generator(self._seed, purpose)


def _chosen(rows: Float[np.ndarray, "n feature"]) -> str:
    return "bernoulli" if ((rows == 0) | (rows == 1)).all() else "gaussian-per-element"


def _options(name: str, examples: Examples) -> dict[str, Any]:
    levels = examples.support.num_levels
    if name == "gaussian":
        return {"learn_sigma": True}
    if name in ("categorical", "discretized-logistic") and examples.support.is_binary:
        return {"num_levels": 2}
    return {"num_levels": levels} if name == "categorical" and levels else {}


def _single(values: Float64[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _elbo(model: Model, x: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch 2"]:
    """Mean and standard error over draws, with noise from a hash of the row's values; the rate in closed form."""
    samples = model.sample_posterior(x, content_noise(x, 0, "score"), SCORE_DRAWS)
    terms = samples.log_likelihood - true_rate(samples)
    return torch.stack([terms.mean(0), terms.std(0, correction=1) / SCORE_DRAWS**0.5], dim=-1)
