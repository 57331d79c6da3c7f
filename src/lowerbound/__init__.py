"""Variational autoencoders: from the bound to the browser.

    import lowerbound as lb

    run = lb.train("digits", recipe="conv", out="runs/first")
    model = lb.load("runs/first")
    posterior = model.encode(x)  # q(z|x), a distribution; x as it is stored, here images of 0 to 16
    likelihood = model.decode(posterior.mean)  # p(x|z), a distribution

Names are imported when they are first used, so that `import lowerbound` does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lowerbound.data.sources import DataConfig, split_array
    from lowerbound.data.sources import load as load_data
    from lowerbound.evaluation.config import EvaluationConfig
    from lowerbound.inference.tasks import evaluate
    from lowerbound.models.config import ModelConfig
    from lowerbound.models.construction import build_model
    from lowerbound.models.vae import VAE
    from lowerbound.objectives.objective import Objective
    from lowerbound.runs.run import Run, resume, train
    from lowerbound.runs.trained_model import TrainedModel, load
    from lowerbound.training.config import TrainingConfig
    from lowerbound.training.loop import fit

__version__ = "0.1.0"

_HOMES = {
    "VAE": "lowerbound.models.vae:VAE",
    "DataConfig": "lowerbound.data.sources:DataConfig",
    "EvaluationConfig": "lowerbound.evaluation.config:EvaluationConfig",
    "ModelConfig": "lowerbound.models.config:ModelConfig",
    "Objective": "lowerbound.objectives.objective:Objective",
    "Run": "lowerbound.runs.run:Run",
    "TrainedModel": "lowerbound.runs.trained_model:TrainedModel",
    "TrainingConfig": "lowerbound.training.config:TrainingConfig",
    "build_model": "lowerbound.models.construction:build_model",
    "evaluate": "lowerbound.inference.tasks:evaluate",
    "fit": "lowerbound.training.loop:fit",
    "load": "lowerbound.runs.trained_model:load",
    "load_data": "lowerbound.data.sources:load",
    "resume": "lowerbound.runs.run:resume",
    "split_array": "lowerbound.data.sources:split_array",
    "train": "lowerbound.runs.run:train",
}

__all__ = [
    "VAE",
    "DataConfig",
    "EvaluationConfig",
    "ModelConfig",
    "Objective",
    "Run",
    "TrainedModel",
    "TrainingConfig",
    "build_model",
    "evaluate",
    "fit",
    "load",
    "load_data",
    "resume",
    "split_array",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lowerbound' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
