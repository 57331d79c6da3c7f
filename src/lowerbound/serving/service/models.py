"""Served models: runs by name, versioned by checksum, with an endpoint for each operation of their models."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from lowerbound.evaluation.results import read_results
from lowerbound.foundation.allocator import kept_memory
from lowerbound.foundation.errors import RunError, UsageError
from lowerbound.foundation.threads import one_thread
from lowerbound.inference.engine import check_engine, choose_engine, on_generated
from lowerbound.runs.preparation import choose_device
from lowerbound.runs.run_data import read_stored
from lowerbound.runs.trained_model import TrainedModel, load
from lowerbound.serving.loaded_model import LoadedModel
from lowerbound.serving.service.operations import OPERATIONS, Operation, Signature
from lowerbound.training.checkpoint import model_checksum

VERSION_DIGITS = 12
NUM_EXPECTED = 1_000_000  # examples that a service computes: enough to export all but the smallest networks
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, eq=False)
class ServedModel(LoadedModel):
    """A run's model, with a name and a version."""

    name: str
    version: str
    trained: TrainedModel
    test_example: Float32[np.ndarray, "1 *event"] | None = None  # an image of the test split, from the run's results
    engine_notes: tuple[str, ...] = ()  # what computes its networks, unless it is PyTorch


@dataclass(frozen=True, eq=False)
class Endpoint:
    """One operation of one run, which is a model of the protocol."""

    served: ServedModel
    operation: Operation

    @property
    def name(self) -> str:
        """RUN.operation."""
        return f"{self.served.name}.{self.operation.name}"

    @cached_property
    def inputs(self) -> tuple[Signature, ...]:
        """The input tensors."""
        return self.operation.inputs(self.served.model)

    @cached_property
    def outputs(self) -> tuple[Signature, ...]:
        """The output tensors, some of which are returned only on request."""
        return self.operation.outputs(self.served.model)


@dataclass(frozen=True)
class Catalogue:
    """All served runs and endpoints, by name."""

    runs: dict[str, ServedModel]
    endpoints: dict[str, Endpoint]


def catalogue_of(runs: Sequence[ServedModel]) -> Catalogue:
    """Every operation of every run; a plain autoencoder has no `score`, and `generate` only with a fitted prior."""
    endpoints = [
        Endpoint(served, operation)
        for served in runs
        for operation in OPERATIONS.values()
        if not (operation.needs_density and served.model.is_deterministic)
        if not (operation.needs_prior and not served.model.has_prior)
    ]
    return Catalogue({served.name: served for served in runs}, {endpoint.name: endpoint for endpoint in endpoints})


def load_runs(arguments: Sequence[str], device: str = "auto", engine: str = "auto") -> list[ServedModel]:
    """Runs given as DIRECTORY or NAME=DIRECTORY, computed by `engine`; UsageError if two have the same name."""
    check_engine(engine)
    chosen = choose_device(device)
    named = [_name_and_path(argument) for argument in arguments]
    for position, (name, path) in enumerate(named):
        twin = next((other for known, other in named[:position] if known == name), None)
        if twin is not None:
            raise UsageError(f"{twin} and {path} would both be served as {name!r}; give one as NAME={path}.")
    # OpenMP starts a team of threads for every thread that computes, and with more threads than cores they often wait
    # for each other, so that forward passes take 1.3 times as long. Only the thread of forward passes may have a team.
    with one_thread():
        loaded = [(path, _load(name, path, chosen)) for name, path in named]
    # As the requests will be computed: in a thread that has its own team.
    with kept_memory(in_threads=True), ThreadPoolExecutor(1, "engines") as thread:
        return [thread.submit(_with_engine, path, served, chosen, engine).result() for path, served in loaded]


def _name_and_path(argument: str) -> tuple[str, Path]:
    """The name under which a run is served, and its directory."""
    given, is_named, rest = argument.partition("=")
    if is_named and not Path(argument).exists():
        name, path = given, Path(rest)
    else:
        path = Path(argument)
        name = path.resolve().name
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{path} cannot be served as {name!r}; give NAME={path}, with up to 64 letters, digits, '.', '_' and '-' "
            "in the name."
        )
    return name, path


def _load(name: str, path: Path, device: torch.device) -> ServedModel:
    read_stored(path)  # refuses a path that is not a run directory
    trained = load(path)
    trained.vae.to(device).requires_grad_(False)
    return ServedModel(name, model_checksum(path)[:VERSION_DIGITS], trained, _test_example(path, trained))


def _with_engine(path: Path, served: ServedModel, device: torch.device, engine: str) -> ServedModel:
    """A served model with the networks that compute it fastest."""
    passes = dict.fromkeys(("encoder", "decoder"), NUM_EXPECTED)
    chosen = choose_engine(engine, path, served.model, passes, on_generated, device)
    return replace(served, trained=replace(served.trained, vae=chosen.model), engine_notes=chosen.notes)


def _test_example(path: Path, trained: TrainedModel) -> Float32[np.ndarray, "1 *event"] | None:
    """The first test image in the run's results; None without results, or for other data."""
    try:
        originals = read_results(path).arrays.get("originals")
    except RunError:
        return None
    if originals is None or not trained.schema.has_pictures:
        return None
    image = np.ascontiguousarray(originals[:1].transpose(0, 3, 1, 2).astype(np.float32))
    return image if image.shape[1:] == tuple(trained.vae.event_shape) else None
