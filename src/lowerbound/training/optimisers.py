"""Optimisers by name: Adam, and Muon with Adam for vectors."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from lowerbound.training.config import TrainingConfig

MIN_RANK = 5
"""Matrices of at most four rows or columns, such as those around two latents, are left to Adam."""

ADAM_SLOTS = ("step", "exp_avg", "exp_avg_sq")
MUON_SLOTS = ("momentum_buffer",)

MOMENTUM = 0.95

NEWTON_SCHULZ = (3.4445, -4.775, 2.0315)
NUM_NEWTON_SCHULZ = 5

FADING = {"exp_avg": 1e-30, "exp_avg_sq": 1e-36, "momentum_buffer": 1e-30}
"""Moments below these are denormal within fifty steps at the usual decay rates."""


def adam(parameters: Iterable[nn.Parameter], config: TrainingConfig) -> torch.optim.Adam:
    """Adam with the configuration's moments; Kingma and Ba, arXiv:1412.6980."""
    optimiser = (AdamWithEpsilonHat if config.adam_epsilon_hat else torch.optim.Adam)(
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


class AdamWithEpsilonHat(torch.optim.Adam):
    """Adam that adds epsilon before bias correction: the ε̂ of arXiv:1412.6980, end of Section 2, as Keras has it.

    A step is torch's own with the equivalent epsilon: ε̂ / sqrt(1 - β2^t) after the correction.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step; the number of steps taken is that of the first parameter that has a gradient."""
        for group in self.param_groups:
            slots: dict[str, Any] = next((self.state[p] for p in group["params"] if p.grad is not None), {})
            step = int(slots.get("step", 0)) + 1
            group["eps"] = self.defaults["eps"] / math.sqrt(1 - group["betas"][1] ** step)
        super().step()


def slot_names(optimiser: Optimizer) -> list[tuple[str, ...]]:
    """Names of the tensors that the optimiser keeps for each of its parameters, once it has taken a step."""
    num_parameters = sum(len(group["params"]) for group in optimiser.param_groups)
    num_matrices = len(optimiser.matrices) if isinstance(optimiser, MuonWithAdam) else 0
    return [MUON_SLOTS] * num_matrices + [ADAM_SLOTS] * (num_parameters - num_matrices)


def drop_fading_moments(optimiser: Optimizer) -> None:
    """Set to zero the moments that are about to become denormal numbers, which are far too small to change a weight.

    Moments of weights that rarely get a gradient, such as those of pixels that are nearly always black or of dead
    ReLUs, decay towards zero; below 1e-38 arithmetic on a CPU is about a hundred times slower.
    """
    if isinstance(optimiser, MuonWithAdam) and optimiser.adam is not None:
        drop_fading_moments(optimiser.adam)
    for slots in optimiser.state.values():
        for name, least in FADING.items():
            if name in slots:
                slots[name].copy_(F.hardshrink(slots[name], least))


@torch.no_grad()
def decay_weights(model: nn.Module, factor: float | Float[Tensor, ""]) -> None:
    """Multiply the weights of the linear and convolutional layers; biases, scales of normalisations, and parameters of
    priors and likelihoods stay.

    The decay of AdamW: Loshchilov and Hutter, arXiv:1711.05101, Algorithm 2, where it comes before the step.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
            module.weight.mul_(factor)


class MuonWithAdam(Optimizer):
    """Muon for weight matrices and kernels, Adam for biases and very thin matrices.

    A kernel counts as a matrix: a row for each entry of its first axis. Steps have the root mean square of Adam's, so
    that one learning rate serves both. Source: Jordan et al., "Muon", 2024; the scale, Liu et al., "Muon is Scalable
    for LLM Training", arXiv:2502.16982, Section 2.2.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], config: TrainingConfig) -> None:
        given = list(parameters)
        self.matrices = {parameter: as_matrix(parameter) for parameter in given if _rank(parameter) >= MIN_RANK}
        others = [parameter for parameter in given if parameter not in self.matrices]
        self.adam = adam(others, config) if others else None
        super().__init__([*self.matrices.values(), *others], {"lr": config.learning_rate})
        for view in self.matrices.values():
            self.state[view] = {"momentum_buffer": torch.zeros_like(view)}

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step of both; the learning rate is that of this optimiser's one group."""
        learning_rate = self.param_groups[0]["lr"]
        for parameter, view in self.matrices.items():
            if parameter.grad is not None:
                gradient, momentum = _matrix(parameter.grad), self.state[view]["momentum_buffer"]
                momentum.lerp_(gradient, 1 - MOMENTUM)
                step = orthogonalised(gradient.lerp(momentum, MOMENTUM))
                view.add_(step, alpha=-learning_rate * 0.2 * math.sqrt(max(view.shape)))
        if self.adam is not None:
            self.adam.param_groups[0]["lr"] = learning_rate
            self.adam.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        for parameter in self.matrices:
            parameter.grad = None
        if self.adam is not None:
            self.adam.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """The slots of both optimisers, numbered in the order of this optimiser's parameters."""
        whole = super().state_dict()
        others = {} if self.adam is None else self.adam.state_dict()["state"]
        shifted = {len(self.matrices) + index: slots for index, slots in others.items()}
        return {**whole, "state": whole["state"] | shifted}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        num_matrices = len(self.matrices)
        slots = state_dict["state"]
        for index, view in enumerate(self.matrices.values()):
            self.state[view]["momentum_buffer"].copy_(slots[index]["momentum_buffer"])
        if self.adam is not None:
            others = {index - num_matrices: value for index, value in slots.items() if index >= num_matrices}
            self.adam.load_state_dict({**self.adam.state_dict(), "state": others})


def orthogonalised(matrix: Float[Tensor, "row column"]) -> Float[Tensor, "row column"]:
    """Nearly the orthogonal factor of a matrix: its singular vectors, with singular values between 0.7 and 1.2.

    Five steps of the quintic Newton-Schulz iteration of Jordan et al., "Muon", 2024. They are polynomials of the
    matrix's smaller Gram matrix, so that all but the first and the last product are of its size, in float32; torch's
    own Muon repeats the large products in bfloat16, at three times the time for kernels of this size.
    """
    a, b, c = NEWTON_SCHULZ
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / x.norm().clamp(min=1e-7)
    gram = x @ x.T
    product = torch.eye(len(gram), dtype=x.dtype, device=x.device)
    for _ in range(NUM_NEWTON_SCHULZ):
        polynomial = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal().add_(a)
        product = polynomial @ product
        gram = polynomial @ gram @ polynomial
    x = product @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


OPTIMISERS: dict[str, Callable[[Iterable[nn.Parameter], TrainingConfig], Optimizer]] = {
    "adam": adam,
    "muon": MuonWithAdam,
}


def as_matrix(parameter: nn.Parameter) -> nn.Parameter:
    """A matrix view of the parameter, sharing its memory."""
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
