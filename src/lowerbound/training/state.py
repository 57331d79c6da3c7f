"""TrainingState: everything that a training step changes, in one place, so that saving and restoring it is exact."""

import math
import platform
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor
from torch.optim import Optimizer

from lowerbound.foundation import distributed
from lowerbound.foundation.errors import RunError
from lowerbound.foundation.seeding import generator
from lowerbound.models.vae import VAE
from lowerbound.objectives.state import ObjectiveState
from lowerbound.training.optimisers import slot_names


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """What a checkpoint contains besides tensors."""

    epoch: int  # epochs finished
    batch: int  # batches of the current epoch done
    step: int
    best_epoch: int
    epochs_without_improvement: int
    seconds: float  # of training, in total over all resumes
    machine: dict[str, str | int]
    mark: dict[str, str]  # of the run
    best_objective: float | None = None  # on the validation split, once an epoch is finished


@dataclass(kw_only=True)
class TrainingState:
    """Weights, optimiser, state of the objective, random stream, position and early-stopping counters."""

    model: VAE
    optimiser: Optimizer
    noise: Generator
    best_weights: dict[str, Tensor]
    objective_state: ObjectiveState = field(default_factory=lambda: ObjectiveState({}))
    epoch: int = 0  # epochs finished
    batch: int = 0  # batches of the current epoch done
    step: int = 0
    best_objective: float = -math.inf  # on the validation split
    best_epoch: int = 0
    epochs_without_improvement: int = 0
    seconds: float = 0.0  # of training, in total over all resumes
    totals: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))  # sums of terms in the epoch

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the state, by name."""
        named = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        named |= {f"best/{name}": tensor for name, tensor in self.best_weights.items()}
        for index, slots in self.optimiser.state_dict()["state"].items():
            named |= {f"optimiser/{index}/{slot}": tensor for slot, tensor in slots.items()}
        named |= {f"objective/{name}": tensor for name, tensor in self.objective_state.tensors().items()}
        return named | {"noise": self.noise.get_state(), "totals": self.totals}

    def numbers(self) -> dict[str, Any]:
        """Everything else, as JSON, which has no infinity: no best objective before the end of an epoch."""
        numbers = {
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "best_epoch": self.best_epoch,
            "epochs_without_improvement": self.epochs_without_improvement,
            "seconds": self.seconds,
            "machine": machine(self.totals.device),
        }
        return numbers | ({"best_objective": self.best_objective} if self.best_epoch else {})

    def restore(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Restore a saved state; RunError if it does not fit the model or the optimiser."""
        try:
            self._restore(tensors, numbers)
        except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise RunError(f"the checkpoint does not match the run's model and optimiser ({reason}).") from error

    def _restore(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        # The best weights first, which checks them: the model ends with the weights of the state.
        for prefix in ("best/", "model/"):
            self.model.load_state_dict(_below(tensors, prefix))
        self.best_weights = _below(tensors, "best/")
        self._restore_optimiser(_below(tensors, "optimiser/"))
        self.objective_state.restore(_below(tensors, "objective/"))
        self._restore_noise(tensors["noise"], numbers)
        self.totals = tensors["totals"].to(self.totals.device)
        self.epoch, self.batch, self.step = numbers["epoch"], numbers["batch"], numbers["step"]
        self.best_objective = numbers.get("best_objective", -math.inf)
        self.best_epoch = numbers["best_epoch"]
        self.epochs_without_improvement = numbers["epochs_without_improvement"]
        self.seconds = numbers["seconds"]

    def _restore_noise(self, saved: Tensor, numbers: dict[str, Any]) -> None:
        device = self.totals.device.type
        if numbers["machine"].get("device", device) == device:
            self.noise.set_state(saved)
        else:  # generators of a CPU and of a GPU cannot continue each other: a new stream, not the first one again
            stream = generator(self.noise.initial_seed(), f"resumed/{numbers['step']}", device)
            self.noise.set_state(stream.get_state())

    def keep_best_weights(self) -> None:
        """Copy the current weights."""
        self.best_weights = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}

    def _restore_optimiser(self, slots: dict[str, Tensor]) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        for name, saved in slots.items():
            index, slot = name.split("/")
            like = parameters[int(index)]
            # The memory layout of a slot follows its parameter's, as in an uninterrupted run.
            state.setdefault(int(index), {})[slot] = (
                torch.empty_like(like).copy_(saved) if saved.shape == like.shape and saved.dim() else saved
            )
        for number, expected in enumerate(slot_names(self.optimiser)):
            # A parameter without a gradient has no slots, unless the optimiser begins with some.
            if number in state or number in self.optimiser.state_dict()["state"]:
                _check_slots(number, state.get(number, {}), parameters[number], expected)
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})


def _check_slots(number: int, slots: dict[str, Tensor], parameter: Tensor, expected: tuple[str, ...]) -> None:
    """ValueError unless the saved slots of a parameter are those that its optimiser reads."""
    if missing := [name for name in expected if name not in slots]:
        raise ValueError(f"the optimiser state of parameter {number} lacks {', '.join(missing)}")
    for name, slot in slots.items():
        if slot.dim() and slot.shape != parameter.shape:
            raise ValueError(f"slot {name} of parameter {number} has the wrong shape")


def machine(device: torch.device | str) -> dict[str, Any]:
    """The hardware and software that bit-identical resuming depends on."""
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "ranks": distributed.share().num_ranks,
        "device": torch.device(device).type,
        "torch": torch.__version__,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
