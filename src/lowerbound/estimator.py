"""A variational autoencoder as a scikit-learn estimator: rows of numbers in, codes and log-densities out.

    from lowerbound.estimator import VAE

    codes = VAE(latent_dim=2).fit_transform(X)

It takes part in pipelines, grid searches and clones. What is in a row of X is one example; images go in flattened.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from lowerbound.choices import LIKELIHOODS as CHOSEN
from lowerbound.data.batches import deviation_of, mean_of
from lowerbound.data.kinds import kind_of
from lowerbound.data.sources import Examples
from lowerbound.errors import LowerboundError
from lowerbound.model import VAE as Model
from lowerbound.model import ModelConfig, build_model
from lowerbound.objectives.objective import Objective
from lowerbound.objectives.rates import true_rate
from lowerbound.probability.samples import PosteriorSamples
from lowerbound.seeding import generator
from lowerbound.training.config import TrainingConfig
from lowerbound.training.optimisers import OPTIMISERS
from lowerbound.training.step import training_step

SCORE_DRAWS = 16
ROWS_AT_ONCE = 1000


class VAE(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A dense variational autoencoder over rows of X.

    Parameters
    ----------
    latent_dim : int, default=2
        Length of a code.
    hidden : tuple of int, default=(128,)
        Widths of the encoder's layers; the decoder has them the other way round.
    likelihood : str, default="auto"
        Family of p(x|z), a name in `lowerbound.probability.likelihoods.LIKELIHOODS`. "auto" goes by the values of X:
        Bernoulli for 0 and 1, else normal with a deviation for each element. "table" accepts missing values, NaN.
    num_epochs : int, default=100
        Passes over the data in `fit`.
    batch_size : int, default=64
        Rows in a step.
    learning_rate : float, default=1e-3
        Of Adam.
    random_state : int, RandomState instance or None, default=0
        Where weights, order and noise come from.

    Attributes
    ----------
    model_ : lowerbound.VAE
        The trained model.
    n_features_in_ : int
        Length of a row.
    """

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
        # Only stored here, whatever they are: scikit-learn's contract. What is wrong with them fit() says.
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.likelihood = likelihood
        self.num_epochs = num_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "VAE":
        """Train a new model on the rows of X; y is not used."""
        rows = self._rows(X, reset=True)
        self._start(rows)
        for _ in range(self.num_epochs):
            self._pass_over(rows)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> "VAE":
        """Train on the rows of X once, going on from what was learned before."""
        is_new = not hasattr(self, "model_")
        rows = self._rows(X, reset=is_new)
        if is_new:
            self._start(rows)
        self._pass_over(rows)
        return self

    def transform(self, X: Any) -> Float[np.ndarray, "n latent"]:
        """The means of the rows' posteriors."""
        check_is_fitted(self)
        model = self._in_float64()
        with torch.no_grad():
            codes = [model.encode(x).mean for x in self._parts(X)]
        return self._like(X, torch.cat(codes))

    def inverse_transform(self, Z: Any) -> Float[np.ndarray, "n feature"]:
        """The mean of p(x|z) for each code."""
        check_is_fitted(self)
        with torch.no_grad():
            means = self._in_float64().decode(torch.as_tensor(np.asarray(Z, np.float64))).mean
        return self._like(Z, means)

    def score_samples(self, X: Any) -> Float[np.ndarray, " n"]:
        """The ELBO of each row, a lower bound on log p(x), in nats."""
        check_is_fitted(self)
        model = self._in_float64()
        with torch.no_grad():
            return torch.cat([_elbo(model, x) for x in self._parts(X)]).numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """The mean ELBO of the rows, in nats; higher is better."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1) -> Float[np.ndarray, "n feature"]:
        """Rows drawn from the model: codes from the prior, then rows from p(x|z)."""
        check_is_fitted(self)
        stream = self._stream("samples")
        model = self._in_float64()
        with torch.no_grad():
            z = model.prior().sample(stream, n_samples).double()
            drawn: np.ndarray = model.decode(z).sample(stream, 1)[0].numpy()
        return drawn

    @property
    def _n_features_out(self) -> int:
        return self.latent_dim

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.allow_nan = self.likelihood == "table"
        tags.non_deterministic = False
        return tags

    def _rows(self, X: Any, reset: bool) -> Float[np.ndarray, "n feature"]:
        finite = "allow-nan" if self.likelihood == "table" else True
        rows: np.ndarray = validate_data(self, X, reset=reset, dtype=[np.float64, np.float32], ensure_all_finite=finite)
        return rows

    def _start(self, rows: Float[np.ndarray, "n feature"]) -> None:
        layout = "table" if self.likelihood == "table" else "array"
        examples = Examples(rows.astype(np.float32), 1.0, layout=layout)  # type: ignore[arg-type]
        name = self.likelihood
        if name == "auto":
            kind = kind_of(examples)
            name = CHOSEN[kind][0] if kind == "binary" else "gaussian-per-element"
        try:
            config = ModelConfig(
                hidden=tuple(self.hidden),
                latent_dim=self.latent_dim,
                likelihood=name,
                output_bias="mean",
            )
            statistics = mean_of(examples), deviation_of(examples)
            self._seed = int(check_random_state(self.random_state).randint(2**31))
            model = build_model(config, examples.event_shape, self._stream("initial weights"), *statistics)
            model.likelihood.convention(examples.support)
            training = TrainingConfig(batch_size=self.batch_size, learning_rate=self.learning_rate)
        except LowerboundError as error:
            raise ValueError(str(error)) from error
        self.model_ = model
        self.n_iter_ = 0
        self._optimiser = OPTIMISERS[training.optimiser](model.parameters(), training)

    def _pass_over(self, rows: Float[np.ndarray, "n feature"]) -> None:
        stream = self._stream(f"pass/{self.n_iter_}")
        x = torch.from_numpy(rows.astype(np.float32))
        self.model_.train()
        for chosen in torch.randperm(len(x), generator=stream).split(self.batch_size):
            training_step(self.model_, Objective(), self._optimiser, x[chosen], stream, max_gradient_norm=1000.0)
        self.model_.eval()
        self.n_iter_ += 1

    def _parts(self, X: Any) -> Iterator[Float[Tensor, "batch feature"]]:
        return iter(torch.from_numpy(self._rows(X, reset=False).astype(np.float64)).split(ROWS_AT_ONCE))

    def _in_float64(self) -> Model:
        # A row's numbers should not depend on how many others are asked about, which they do to the last bit in 32.
        return deepcopy(self.model_).double().eval()

    def _stream(self, purpose: str) -> torch.Generator:
        return generator(self._seed, purpose)

    @staticmethod
    def _like(X: Any, values: Tensor) -> np.ndarray:
        is_single = getattr(X, "dtype", None) == np.float32
        return values.numpy().astype(np.float32 if is_single else np.float64)


def _elbo(model: Model, x: Float[Tensor, "batch feature"]) -> Float[Tensor, " batch"]:
    """Rate in closed form, distortion over draws whose noise is the same for every row."""
    posterior = model.encode(x)
    noise = torch.randn(SCORE_DRAWS, 1, model.latent_dim, generator=generator(0, "score"), dtype=x.dtype)
    z = posterior.mean + posterior.variance.sqrt() * noise
    samples = PosteriorSamples(z, model.decode(z).log_prob(x), posterior, model.prior())
    elbo: Tensor = (samples.log_likelihood - true_rate(samples)).mean(0)
    return elbo
