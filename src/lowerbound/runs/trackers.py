"""TRACKERS: experiment trackers by name (TensorBoard, Weights & Biases, MLflow), which receive the records of training.

Each is a function that opens or continues a run of the tracker and returns a Session. Their packages are imported when
a session is opened; they are not dependencies of this one.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from lowerbound.foundation.text import shortened

PROJECT = "lowerbound"
"""Project (W&B) or experiment (MLflow) of all runs, unless the tracker's environment variable names another."""

FOLDERS = ("tensorboard", "wandb")
"""Folders of trackers in the run directory."""

LONGEST_PARAMETER = 500  # characters, which every version of MLflow stores
BATCH = 100  # parameters that MLflow takes at a time

Ending = Literal["finished", "interrupted", "failed"]


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told at the start."""

    path: Path  # the run directory
    settings: Mapping[str, Mapping[str, Any]]  # the resolved configuration, by section
    id: str = ""  # of the tracker's run that is continued; empty for a new one
    first_step: int = 1  # the first that will be logged; of a resumed run the one after its checkpoint

    @property
    def flat_settings(self) -> dict[str, Any]:
        """The settings by dotted key, such as model.latent_dim."""
        return {f"{section}.{key}": value for section, keys in self.settings.items() for key, value in keys.items()}


class Session(Protocol):
    """An open run of a tracker."""

    @property
    def id(self) -> str:
        """What continues this run later."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Record values by name at a step."""

    def close(self, ending: Ending) -> None:
        """End the session; everything is sent."""


@dataclass(frozen=True)
class Tracker:
    """A tracker: the package that it needs, and the function that opens a session."""

    package: str
    open: Callable[[TrackedRun], Session]


class _TensorBoard:
    """Event files in the folder `tensorboard` of the run directory."""

    id = "tensorboard"

    def __init__(self, run: TrackedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # Of a resumed run, events of steps that will be logged again are dropped by TensorBoard.
        purged = run.first_step if run.id else None
        self.writer: Any = SummaryWriter(str(run.path / self.id), purge_step=purged)
        rows = [f"| {key} | {value} |" for key, value in run.flat_settings.items()]
        self.writer.add_text("config", "\n".join(["| setting | value |", "| --- | --- |", *rows]), run.first_step - 1)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def close(self, ending: Ending) -> None:
        self.writer.close()


class _WeightsAndBiases:
    """A run of W&B, whose environment variables apply: WANDB_PROJECT, WANDB_MODE=offline, WANDB_DIR and others."""

    def __init__(self, run: TrackedRun) -> None:
        import wandb

        self.run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.path.name,
            id=run.id or None,
            resume="allow" if run.id else None,
            config=_plain(run.settings),
            dir=os.environ.get("WANDB_DIR", str(run.path)),
            settings=wandb.Settings(console="off"),  # which would replace standard output
        )
        self.id: str = self.run.id
        self.first_step = int(self.run.step)  # it takes no earlier one

    def log(self, step: int, values: Mapping[str, float]) -> None:
        if step >= self.first_step:
            self.run.log(dict(values), step=step)

    def close(self, ending: Ending) -> None:
        self.run.finish(exit_code=0 if ending == "finished" else 1)


class _MLflow:
    """A run of MLflow, whose environment variables apply: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME and others."""

    def __init__(self, run: TrackedRun) -> None:
        from mlflow.entities import Metric, Param
        from mlflow.tracking import MlflowClient

        self.client, self.metric = MlflowClient(), Metric
        if run.id:
            self.client.update_run(run.id, status="RUNNING")
            self.id = run.id
            return  # parameters cannot be changed
        self.id = self.client.create_run(self._experiment(), run_name=run.path.name).info.run_id
        parameters = [
            Param(key, shortened(str(value), LONGEST_PARAMETER - 10)) for key, value in run.flat_settings.items()
        ]
        for start in range(0, len(parameters), BATCH):
            self.client.log_batch(self.id, params=parameters[start : start + BATCH])

    def _experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self.client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self.client.create_experiment(name))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        from time import time

        now = round(1000 * time())
        self.client.log_batch(self.id, metrics=[self.metric(name, value, now, step) for name, value in values.items()])

    def close(self, ending: Ending) -> None:
        self.client.set_terminated(self.id, {"finished": "FINISHED", "interrupted": "KILLED"}.get(ending, "FAILED"))


def _plain(value: Any) -> Any:
    """Settings as JSON has them: lists for tuples."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


TRACKERS: dict[str, Tracker] = {
    "tensorboard": Tracker("tensorboard", _TensorBoard),
    "wandb": Tracker("wandb", _WeightsAndBiases),
    "mlflow": Tracker("mlflow", _MLflow),
}
