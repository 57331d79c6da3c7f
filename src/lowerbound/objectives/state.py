"""ObjectiveState: what an objective keeps from step to step: multipliers, discriminators and their optimisers.

It is part of the training state, so that a resumed training continues exactly.
"""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer


class StatePart(nn.Module, ABC):
    """A rate or penalty with a state: called in every step, then updated after the model's weights."""

    optimiser: Optimizer | None = None

    @property
    def logged(self) -> Float[Tensor, ""] | None:
        """The number that is logged under the part's name, for a rate; a penalty is logged itself."""
        return None

    @abstractmethod
    def update(self) -> None:
        """Change the state by what the last call with gradients saw; without such a call, do nothing."""


class ObjectiveState(nn.Module):
    """The parts with a state of one objective, by name."""

    def __init__(self, parts: dict[str, StatePart]) -> None:
        super().__init__()
        self._parts = nn.ModuleDict(parts)
        self.parts: dict[str, StatePart] = dict(parts)

    def update(self) -> None:
        """Update every part, once the model's weights have been."""
        for part in self.parts.values():
            part.update()

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the state, by name."""
        found = {f"state/{name}": tensor for name, tensor in self.state_dict().items()}
        for name, optimiser in self._optimisers().items():
            for index, slots in optimiser.state_dict()["state"].items():
                found |= {f"optimiser/{name}/{index}/{slot}": tensor for slot, tensor in slots.items()}
        return found

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Restore a saved state; KeyError, ValueError or RuntimeError if it is of other parts."""
        self.load_state_dict(
            {name.removeprefix("state/"): value for name, value in tensors.items() if name.startswith("state/")}
        )
        for name, optimiser in self._optimisers().items():
            slots: dict[int, dict[str, Tensor]] = {}
            for key, value in tensors.items():
                if key.startswith(f"optimiser/{name}/"):
                    index, slot = key.removeprefix(f"optimiser/{name}/").split("/")
                    slots.setdefault(int(index), {})[slot] = value.clone()
            optimiser.load_state_dict({**optimiser.state_dict(), "state": slots})

    def _optimisers(self) -> dict[str, Optimizer]:
        return {name: part.optimiser for name, part in self.parts.items() if part.optimiser is not None}
