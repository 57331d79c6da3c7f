"""`bound_terms`: log p(x), ELBO, distortion, rate and KL(q(z|x) || p(z|x)) of each example of a trained model."""

from typing import Any

from lowerbound.evaluation import bound_terms as measured
from lowerbound.evaluation.bound_terms import BoundTerms
from lowerbound.foundation.run_identity import RunPath
from lowerbound.runs.inputs import run_of
from lowerbound.runs.preparation import choose_device
from lowerbound.runs.run_data import own_splits
from lowerbound.runs.trained_model import TrainedModel, load


def bound_terms(
    run: TrainedModel | RunPath,
    x: Any = None,
    *,
    num_draws: int = 256,
    seed: int = 0,
    device: str = "auto",
    data: str = "",
    data_dir: str = "",
) -> BoundTerms:
    """The terms of log p(x) = ELBO + KL(q(z|x) || p(z|x)) for each example, as arrays in nats.

    `x` are examples in stored units, as `TrainedModel.encode` takes them; by default the run's test examples. log p(x)
    is exact for up to three real latents, otherwise the importance-weighted bound of `num_draws` draws.

    ConfigError for a plain autoencoder and a conditional model, SchemaError or DataError for examples that do not fit.

    Examples:
        >>> images = lb.load_run("runs/dense").splits().test.values[:5]
        >>> terms = lb.bound_terms("runs/dense", images)
        >>> np.allclose(terms.elbo, -(terms.distortion + terms.rate))
        True
        >>> np.allclose(terms.log_evidence, terms.elbo + terms.kl_to_posterior)
        True
    """
    trained = run if isinstance(run, TrainedModel) else load(run)
    if x is None:
        examples = own_splits(run_of(trained), data=data, data_dir=data_dir).test
    else:
        examples = trained.examples(x).examples
    chosen = choose_device(device)
    return measured.bound_terms(trained.vae.to(chosen), examples, num_draws, seed, chosen)
