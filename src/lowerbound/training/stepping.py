"""Stepping strategies: CheckedStepping tests every loss on the host, DeferredStepping never waits for the GPU.

Both change the training state in the same way, and add the terms of the batch to its totals.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator

from lowerbound.data.batches import Batch
from lowerbound.foundation.errors import NonFiniteLoss
from lowerbound.foundation.text import pluralise
from lowerbound.objectives.objective import Objective
from lowerbound.training.optimisers import drop_fading_moments
from lowerbound.training.state import TrainingState
from lowerbound.training.step import descend, loss_of, totals, training_step

STEPS_BETWEEN_DROPS = 50

NUM_STEPS_BEFORE_CAPTURE = 3
"""Steps that are not recorded: in them, libraries choose algorithms and allocate workspaces."""


@dataclass(eq=False)
class Stepping(ABC):
    """Takes training steps on `state`."""

    state: TrainingState
    objective: Objective
    max_gradient_norm: float = 0.0
    precision: torch.dtype = torch.float32
    num_examples: int = 0  # of the training split
    should_stop: Callable[[], bool] = lambda: False
    weight_decay: float = 0.0

    @abstractmethod
    def step(self, batch: Batch, learning_rate: float, rate_scale: float) -> None:
        """Take one optimiser step, and add the terms of the batch to the totals."""

    @abstractmethod
    def check(self) -> None:
        """NonFiniteLoss if any loss since the last check was not finite."""

    def is_stopping(self) -> bool:
        """Whether to stop after the last step."""
        return self.should_stop()


@dataclass(eq=False)
class CheckedStepping(Stepping):
    """Tests every loss before it changes a weight, which synchronises with the device at each step."""

    is_fast: bool = True

    def step(self, batch: Batch, learning_rate: float, rate_scale: float) -> None:
        state = self.state
        for group in state.optimiser.param_groups:
            group["lr"] = learning_rate
        loss = training_step(
            state.model, self.objective, state.optimiser, batch, state.noise, rate_scale, self.max_gradient_norm,
            self.precision, self.num_examples, state.objective_state, self.weight_decay,
        )  # fmt: skip
        state.totals += totals(loss)
        self._drop_fading_moments()

    def _drop_fading_moments(self) -> None:
        state = self.state
        if self.is_fast and state.step % STEPS_BETWEEN_DROPS == 0:
            drop_fading_moments(state.optimiser)

    def check(self) -> None:
        """Does nothing: every loss has been tested."""


@dataclass(eq=False)
class DeferredStepping(Stepping):
    """Never waits for the device: everything that a step needs is on it, and non-finite losses are counted there.

    A non-finite loss changes no weight, because the optimiser skips its step; `check` reports it.
    """

    def __post_init__(self) -> None:
        state = self.state
        device = state.totals.device
        self.learning_rate = torch.zeros((), device=device)
        self.rate_scale = torch.zeros((), device=device)
        self.num_non_finite = torch.zeros((), device=device)
        self.graph = _Graph(self._compute, state.noise) if device.type == "cuda" else None
        for group in state.optimiser.param_groups:
            group["lr"] = self.learning_rate
            group["capturable"] = self.graph is not None

    def step(self, batch: Batch, learning_rate: float, rate_scale: float) -> None:
        self.learning_rate.fill_(learning_rate)
        self.rate_scale.fill_(rate_scale)
        if self.graph is None:
            self._compute(batch)
        else:
            self.graph(batch)

    def check(self) -> None:
        num_non_finite = int(self.num_non_finite.item())
        if num_non_finite:
            raise NonFiniteLoss(
                f"the loss was not finite in {pluralise(num_non_finite, 'step')}, which changed no weight; lower "
                "training.learning_rate, or set training.max_gradient_norm; with training.speed 'plain', training "
                "stops at the first such step and reports its cause."
            )

    def _compute(self, batch: Batch) -> None:
        state = self.state
        noise, scale, num_examples = state.noise, self.rate_scale, self.num_examples
        loss = loss_of(state.model, self.objective, batch, noise, scale, self.precision, num_examples)
        is_bad = (~torch.isfinite(loss.value.detach())).float()
        self.num_non_finite += is_bad
        # The fused optimiser skips a step for which this is 1, without synchronising with the host.
        state.optimiser.found_inf = is_bad  # type: ignore[attr-defined]
        # A skipped step decays nothing either; without decay, nothing is computed.
        decay = torch.where(is_bad.bool(), 0.0, self.weight_decay) if self.weight_decay else 0.0
        descend(state.model, state.optimiser, loss, self.max_gradient_norm, decay)
        # Not a product with 0: 0 * nan is nan.
        state.totals += torch.where(is_bad.bool(), 0.0, totals(loss))


class _Graph:
    """A training step as a CUDA graph: recorded once for full batches, then replayed with one call.

    The first steps run operation by operation; so do the shorter last batch of an epoch, and every step if recording
    fails.
    """

    def __init__(self, compute: Callable[[Batch], None], noise: Generator) -> None:
        self.compute = compute
        self.noise = noise
        self.stream = torch.cuda.Stream()
        self.num_steps = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.batch: Batch | None = None  # the graph reads its batch here

    def __call__(self, batch: Batch) -> None:
        self.num_steps += 1
        if self.num_steps == NUM_STEPS_BEFORE_CAPTURE + 1:
            self._record(batch)
        if self.graph is not None and self.batch is not None and batch.x.shape == self.batch.x.shape:
            self.batch.copy_from(batch)
            self.graph.replay()
            return
        # What is recorded later must first have run on a stream that is not the default one.
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            self.compute(batch)
        torch.cuda.current_stream().wait_stream(self.stream)

    def _record(self, batch: Batch) -> None:
        """Record one step on a batch of this shape; that computes nothing and draws no noise."""
        static, graph = batch.empty_like(), torch.cuda.CUDAGraph()
        graph.register_generator_state(self.noise)
        try:
            with torch.cuda.graph(graph):
                self.compute(static)
        except RuntimeError as error:
            warnings.warn(
                f"the training step cannot be recorded as a CUDA graph, and remains slower: {error}", stacklevel=2
            )
            return
        self.graph, self.batch = graph, static
