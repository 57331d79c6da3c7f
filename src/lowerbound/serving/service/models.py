"""What is served: runs by their names, each with the operations that its model has, versioned by its checksum."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from lowerbound.foundation.errors import UsageError
from lowerbound.runs.preparation import choose_device
from lowerbound.runs.run_data import read_stored
from lowerbound.runs.trained_model import TrainedModel, load
from lowerbound.serving.loaded_model import LoadedModel
from lowerbound.serving.service.operations import OPERATIONS, Operation, Signature
from lowerbound.training.checkpoint import model_checksum

VERSION_DIGITS = 12
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, eq=False)
class ServedModel(LoadedModel):
    """One run's model, and the schema of its data."""

    name: str
    version: str
    trained: TrainedModel


@dataclass(frozen=True, eq=False)
class Endpoint:
    """One operation of one run: what the protocol calls a model."""

    served: ServedModel
    operation: Operation

    @property
    def name(self) -> str:
        """RUN.operation."""
        return f"{self.served.name}.{self.operation.name}"

    @property
    def inputs(self) -> tuple[Signature, ...]:
        """Tensors that go in."""
        return self.operation.inputs(self.served.model)

    @property
    def outputs(self) -> tuple[Signature, ...]:
        """Tensors that come out, some of them only where they are asked for."""
        return self.operation.outputs(self.served.model)


@dataclass(frozen=True)
class Catalogue:
    """All that is served."""

    runs: dict[str, ServedModel]
    offers: dict[str, Endpoint]


def catalogue_of(runs: Sequence[ServedModel]) -> Catalogue:
    """Every operation of every run. A deterministic autoencoder generates nothing and has no ELBO."""
    offers = [
        Endpoint(served, operation)
        for served in runs
        for operation in OPERATIONS.values()
        if not (operation.needs_density and served.model.is_deterministic)
    ]
    return Catalogue({served.name: served for served in runs}, {offer.name: offer for offer in offers})


def load_runs(words: Sequence[str], device: str = "auto") -> list[ServedModel]:
    """Runs by their directories, or as NAME=DIRECTORY; UsageError where two would have one name."""
    chosen = choose_device(device)
    named = [_named(word) for word in words]
    for position, (name, path) in enumerate(named):
        twin = next((other for known, other in named[:position] if known == name), None)
        if twin is not None:
            raise UsageError(f"{twin} and {path} would both be called {name!r}; give one as NAME={path}.")
    with with_one_thread():
        return [_load(name, path, chosen) for name, path in named]


@contextmanager
def with_one_thread() -> Iterator[None]:
    """Within this torch computes on one core, and starts no threads to help it.

    OpenMP starts them for each thread that computes, and lets all of them sleep at every turn as soon as there are more
    than cores: passes through a model take 1.3 times as long. So only the thread that passes belong to may have any.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _named(word: str) -> tuple[str, Path]:
    """The name by which a run is served, and where it is."""
    given, is_named, rest = word.partition("=")
    if is_named and not Path(word).exists():
        name, path = given, Path(rest)
    else:
        path = Path(word)
        name = path.resolve().name
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{path} cannot be served as {name!r}; give NAME={path}, with up to 64 letters, digits, '.', '_' and '-' "
            "in the name."
        )
    return name, path


def _load(name: str, path: Path, device: torch.device) -> ServedModel:
    read_stored(path)  # refuses what is not a run directory
    trained = load(path)
    trained.vae.to(device).requires_grad_(False)
    return ServedModel(name, model_checksum(path)[:VERSION_DIGITS], trained)
