"""The model of an experiment before training: with the statistics of the data, or to be restored from a checkpoint."""

from torch import Tensor

from lowerbound.data.batches import context_of_all, deviation_of, mean_of
from lowerbound.data.sources import Splits
from lowerbound.evaluation.quick_evaluation import data_convention
from lowerbound.foundation.seeding import generator
from lowerbound.models.construction import build_model
from lowerbound.models.vae import VAE
from lowerbound.runs.experiment import Experiment
from lowerbound.training.group_stepping import check_draws_can_be_shared


def check_can_train(model: VAE, splits: Splits) -> None:
    """DataError or ConfigError for a model that cannot be trained on these data, or on these ranks."""
    data_convention(model, splits)
    check_draws_can_be_shared(model)


def initial_model(experiment: Experiment, splits: Splits) -> VAE:
    """The model before training, initialised with the mean and standard deviation of the training data."""
    return _build(experiment, splits, mean_of(splits.train), deviation_of(splits.train))


def model_to_restore(experiment: Experiment, splits: Splits) -> VAE:
    """The same model, for weights that a checkpoint replaces: without the statistics of the data."""
    return _build(experiment, splits)


def _build(experiment: Experiment, splits: Splits, mean: Tensor | None = None, deviation: Tensor | None = None) -> VAE:
    weights = generator(experiment.training.seed, "initial weights")
    shape, columns, schema = splits.train.event_shape, splits.train.columns, splits.schema
    conditions = schema.conditions if schema else ()
    context = None if mean is None else context_of_all(splits.train)
    return build_model(experiment.model, shape, weights, mean, deviation, context, columns, conditions)
