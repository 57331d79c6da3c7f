"""Train, evaluate, explore and serve variational autoencoders.

    import lowerbound as lb

    run = lb.train("digits", recipe="conv", out="runs/first")
    model = lb.load("runs/first")
    posterior = model.encode(x)  # q(z|x), a distribution; x in stored units, here images with values 0 to 16
    likelihood = model.decode(posterior.mean)  # p(x|z), a distribution

`likelihoods`, `posteriors` and `priors` are the tables of names; `register_prior` and its siblings add your own parts.
Names are imported when they are first used, so that `import lowerbound` does not import torch.
"""

from importlib import import_module
from inspect import isfunction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lowerbound.compression.codec import compress, decompress
    from lowerbound.data.sources import DataConfig, Splits, split_array
    from lowerbound.data.sources import load as load_data
    from lowerbound.evaluation.config import EvaluationConfig
    from lowerbound.evaluation.results import Results, Score
    from lowerbound.inference.anomaly import score
    from lowerbound.inference.bound import bound_terms
    from lowerbound.inference.comparing import compare
    from lowerbound.inference.gradients import gradients
    from lowerbound.inference.imputation import impute
    from lowerbound.inference.learning import learn, lesson_run
    from lowerbound.inference.tasks import evaluate
    from lowerbound.models.config import ModelConfig
    from lowerbound.models.construction import build_model
    from lowerbound.models.vae import VAE
    from lowerbound.objectives.objective import Objective
    from lowerbound.objectives.penalties import register_penalty
    from lowerbound.probability.kl import register_kl
    from lowerbound.probability.likelihoods import LIKELIHOODS as likelihoods
    from lowerbound.probability.likelihoods import register_likelihood
    from lowerbound.probability.posteriors import POSTERIORS as posteriors
    from lowerbound.probability.posteriors import register_posterior
    from lowerbound.probability.priors import PRIORS as priors
    from lowerbound.probability.priors import register_prior
    from lowerbound.runs.experiment import Experiment
    from lowerbound.runs.finished_run import Run, animate, load_run
    from lowerbound.runs.packing import pack
    from lowerbound.runs.prior_fitting import fit_prior
    from lowerbound.runs.reevaluation import diagnose_run as diagnose
    from lowerbound.runs.resuming import resume
    from lowerbound.runs.run import Callbacks, train
    from lowerbound.runs.sweep import sweep
    from lowerbound.runs.trained_model import TrainedModel, load, save
    from lowerbound.serving.explorer.showing import explore
    from lowerbound.serving.portable.export import export
    from lowerbound.training.config import TrainingConfig
    from lowerbound.training.loop import fit, training_steps

__version__ = "0.1.0"

_HOMES = {
    "VAE": "lowerbound.models.vae:VAE",
    "Callbacks": "lowerbound.runs.run:Callbacks",
    "DataConfig": "lowerbound.data.sources:DataConfig",
    "EvaluationConfig": "lowerbound.evaluation.config:EvaluationConfig",
    "Experiment": "lowerbound.runs.experiment:Experiment",
    "ModelConfig": "lowerbound.models.config:ModelConfig",
    "Objective": "lowerbound.objectives.objective:Objective",
    "Results": "lowerbound.evaluation.results:Results",
    "Run": "lowerbound.runs.finished_run:Run",
    "Score": "lowerbound.evaluation.results:Score",
    "Splits": "lowerbound.data.sources:Splits",
    "TrainedModel": "lowerbound.runs.trained_model:TrainedModel",
    "TrainingConfig": "lowerbound.training.config:TrainingConfig",
    "bound_terms": "lowerbound.inference.bound:bound_terms",
    "animate": "lowerbound.runs.finished_run:animate",
    "build_model": "lowerbound.models.construction:build_model",
    "compare": "lowerbound.inference.comparing:compare",
    "compress": "lowerbound.compression.codec:compress",
    "decompress": "lowerbound.compression.codec:decompress",
    "diagnose": "lowerbound.runs.reevaluation:diagnose_run",
    "evaluate": "lowerbound.inference.tasks:evaluate",
    "explore": "lowerbound.serving.explorer.showing:explore",
    "export": "lowerbound.serving.portable.export:export",
    "fit": "lowerbound.training.loop:fit",
    "fit_prior": "lowerbound.runs.prior_fitting:fit_prior",
    "gradients": "lowerbound.inference.gradients:gradients",
    "impute": "lowerbound.inference.imputation:impute",
    "learn": "lowerbound.inference.learning:learn",
    "lesson_run": "lowerbound.inference.learning:lesson_run",
    "likelihoods": "lowerbound.probability.likelihoods:LIKELIHOODS",
    "load": "lowerbound.runs.trained_model:load",
    "load_run": "lowerbound.runs.finished_run:load_run",
    "load_data": "lowerbound.data.sources:load",
    "pack": "lowerbound.runs.packing:pack",
    "posteriors": "lowerbound.probability.posteriors:POSTERIORS",
    "priors": "lowerbound.probability.priors:PRIORS",
    "register_kl": "lowerbound.probability.kl:register_kl",
    "register_likelihood": "lowerbound.probability.likelihoods:register_likelihood",
    "register_penalty": "lowerbound.objectives.penalties:register_penalty",
    "register_posterior": "lowerbound.probability.posteriors:register_posterior",
    "register_prior": "lowerbound.probability.priors:register_prior",
    "resume": "lowerbound.runs.resuming:resume",
    "save": "lowerbound.runs.trained_model:save",
    "score": "lowerbound.inference.anomaly:score",
    "split_array": "lowerbound.data.sources:split_array",
    "sweep": "lowerbound.runs.sweep:sweep",
    "train": "lowerbound.runs.run:train",
    "training_steps": "lowerbound.training.loop:training_steps",
}

__all__ = [
    "VAE",
    "Callbacks",
    "DataConfig",
    "EvaluationConfig",
    "Experiment",
    "ModelConfig",
    "Objective",
    "Results",
    "Run",
    "Score",
    "Splits",
    "TrainedModel",
    "TrainingConfig",
    "animate",
    "bound_terms",
    "build_model",
    "compare",
    "compress",
    "decompress",
    "diagnose",
    "evaluate",
    "explore",
    "export",
    "fit",
    "fit_prior",
    "gradients",
    "impute",
    "learn",
    "lesson_run",
    "likelihoods",
    "load",
    "load_data",
    "load_run",
    "pack",
    "posteriors",
    "priors",
    "register_kl",
    "register_likelihood",
    "register_penalty",
    "register_posterior",
    "register_prior",
    "resume",
    "save",
    "score",
    "split_array",
    "sweep",
    "train",
    "training_steps",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lowerbound' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    found = getattr(import_module(module), attribute)
    if not isfunction(found):
        return found
    # Kept, so that it is the same function whenever it is asked for.
    globals()[name] = import_module("lowerbound.runs.arguments").public_function(name, module, attribute)
    return globals()[name]


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
