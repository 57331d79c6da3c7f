"""Optimisers by name, each with the configuration that it reads."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from lowerbound.training.config import TrainingConfig

MIN_RANK = 5
"""Matrices of at most four rows or columns, such as those around two latents, are left to Adam."""

FADING = {"exp_avg": 1e-30, "exp_avg_sq": 1e-36}
"""Moments below these are denormal within fifty steps at the usual decay rates."""


def adam(parameters: Iterable[nn.Parameter], config: TrainingConfig) -> torch.optim.Adam:
    """Adam with the configuration's moments; Kingma and Ba, arXiv:1412.6980."""
    optimiser = torch.optim.Adam(
        parameters,
        lr=config.learning_rate,
        betas=(config.adam_beta1, config.adam_beta2),
        eps=config.adam_epsilon,
        fused=True,
    )
    if config.adam_second_moment:
        for parameter in optimiser.param_groups[0]["params"]:
            optimiser.state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.full_like(parameter, config.adam_second_moment),
            }
    return optimiser


def drop_fading_moments(optimiser: Optimizer) -> None:
    """Set to zero the moments of Adam's that are about to become denormal numbers, far below what moves a weight.

    Weights that rarely get a gradient, such as those of pixels that are nearly always black, have moments that fade
    and fade; below 1e-38 a CPU takes a hundred times as long for each.
    """
    for slots in optimiser.state.values():
        for name, least in FADING.items():
            if name in slots:
                slots[name].copy_(F.hardshrink(slots[name], least))


class MuonWithAdam(Optimizer):
    """Muon for weight matrices and kernels, Adam for biases and very thin matrices.

    A kernel counts as a matrix: a row for each entry of its first axis. Steps have the root mean square of Adam's, so
    that one learning rate serves both. Source: Jordan et al., "Muon", 2024; the scale, Liu et al., "Muon is Scalable
    for LLM Training", arXiv:2502.16982, Section 2.2.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], config: TrainingConfig) -> None:
        given = list(parameters)
        self.matrices = {parameter: as_matrix(parameter) for parameter in given if _rank(parameter) >= MIN_RANK}
        self.others = [parameter for parameter in given if parameter not in self.matrices]
        views = list(self.matrices.values())
        self.parts: list[Optimizer] = []
        if views:
            self.parts.append(
                torch.optim.Muon(views, lr=config.learning_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
            )
        if self.others:
            self.parts.append(adam(self.others, config))
        super().__init__([*views, *self.others], {"lr": config.learning_rate})

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step of both; the learning rate is that of this optimiser's one group."""
        for parameter, view in self.matrices.items():
            view.grad = None if parameter.grad is None else _matrix(parameter.grad)
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = self.param_groups[0]["lr"]
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        for parameter in [*self.matrices, *self.matrices.values(), *self.others]:
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Both optimisers' slots, numbered in the order of this one's parameters."""
        slots: dict[int, Any] = {}
        offset = 0
        for part in self.parts:
            slots |= {offset + index: value for index, value in part.state_dict()["state"].items()}
            offset += _num_parameters(part)
        return {"state": slots, "param_groups": super().state_dict()["param_groups"]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        offset = 0
        for part in self.parts:
            end = offset + _num_parameters(part)
            slots = {index - offset: value for index, value in state_dict["state"].items() if offset <= index < end}
            part.load_state_dict({**part.state_dict(), "state": slots})
            offset = end


OPTIMISERS: dict[str, Callable[[Iterable[nn.Parameter], TrainingConfig], Optimizer]] = {
    "adam": adam,
    "muon": MuonWithAdam,
}


def as_matrix(parameter: nn.Parameter) -> nn.Parameter:
    """The parameter's own memory, seen as a matrix."""
    view = nn.Parameter(_matrix(parameter.data))
    assert view.data_ptr() == parameter.data_ptr(), "a kernel must lie in memory channels last"
    return view


def _matrix(tensor: Tensor) -> Tensor:
    # Kernels lie in memory channels last, so that this order of their axes needs no copy.
    return tensor.permute(0, 2, 3, 1).flatten(1) if tensor.ndim == 4 else tensor


def _rank(parameter: nn.Parameter) -> int:
    if parameter.ndim < 2:
        return 0
    return min(parameter.shape[0], parameter[0].numel())


def _num_parameters(optimiser: Optimizer) -> int:
    return sum(len(group["params"]) for group in optimiser.param_groups)
