"""Checkpoints and finished models on disk: safetensors with a JSON header, never a pickle.

A checkpoint is one file, so it is whole or absent. The two newest are kept: when the last one turns out to be
damaged, the one before it is used.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lowerbound.foundation.errors import RunError, UsageError
from lowerbound.foundation.run_identity import MODEL, check_mark, mark_of
from lowerbound.foundation.schema import Column, Schema, check_schema
from lowerbound.foundation.seeding import generator
from lowerbound.foundation.storage import load_tensors, save_tensors, stated_checksum
from lowerbound.foundation.strict import parsed
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import (
    build_likelihood,
    build_model,
    build_part,
    check_can_be_saved,
    check_parts_are_known,
)
from lowerbound.models.vae import VAE
from lowerbound.probability.parts import OWN
from lowerbound.training.state import Numbers

NUM_KEPT = 2
NAME = re.compile(r"step-(\d+)\.safetensors")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A training state as read from disk, and the newer files that were passed over because they are damaged."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]
    damaged: tuple[str, ...]


def save_checkpoint(folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write the state after `step`, then drop all but the two newest."""
    save_tensors(folder / f"step-{step:09d}.safetensors", tensors, {**state, "mark": mark_of(folder.parent)})
    for path in _newest_first(folder)[NUM_KEPT:]:
        path.unlink()


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole and the run's own; None if there is none, RunError if none of them is."""
    damaged: list[str] = []
    for path in _newest_first(folder):
        try:
            tensors, state = load_tensors(path)
            found = parsed(Numbers, state, str(path))
            check_mark(folder.parent, f"{folder.name}/{path.name}", found.mark)
            del state["mark"]
        except RunError as error:
            damaged.append(str(error))
            continue
        return Checkpoint(tensors, state, tuple(damaged))
    if damaged:
        raise RunError(f"nothing to resume from: {' '.join(damaged)}")
    return None


def drop_checkpoints_after(folder: Path, step: int) -> None:
    """Remove checkpoints of later steps, found to be damaged when an earlier one was resumed from, and all but the two
    newest of the others.
    """
    later = [path for path in _newest_first(folder) if _step(path) > step]
    for path in later + [path for path in _newest_first(folder) if path not in later][NUM_KEPT:]:
        path.unlink()


def save_model(path: Path, model: VAE, schema: Schema | None, about: Mapping[str, Any]) -> None:
    """Write a model's weights with what is needed to build it again and what its data are; `about` is kept, too.

    RunError, before anything is written, for a model that the file could not describe.
    """
    check_can_be_saved(model)
    description = {
        "model": asdict(model.config),
        "event_shape": list(model.event_shape),
        "columns": [asdict(column) for column in model.columns],
        "schema": None if schema is None else asdict(schema),
        "about": dict(about),
        "mark": mark_of(path.parent),
    }
    save_tensors(path, model.state_dict(), description)


@dataclass(frozen=True, kw_only=True)
class _Description:
    """What a model file holds beside its weights."""

    model: ModelConfig
    event_shape: tuple[int, ...]
    columns: tuple[Column, ...]
    schema: Schema | None
    about: dict[str, Any]
    mark: dict[str, str]


def model_file(run: Path | str) -> Path:
    """The model.safetensors of a run directory, or the file itself; UsageError where there is nothing."""
    path = Path(run)
    if not path.exists():
        raise UsageError(f"{path} does not exist; give a run directory or a model.safetensors.")
    if path.is_file() and path.suffix != ".safetensors":
        raise UsageError(f"{path} is not a model; give a run directory or a model.safetensors.")
    return path / MODEL if path.is_dir() else path


def model_checksum(run: Path) -> str:
    """SHA-256 of a run's model, weights and description together: its version, in hexadecimal."""
    return stated_checksum(run / MODEL if run.is_dir() else run)


def load_model(run: Path | str, encoder: nn.Module | None = None, decoder: nn.Module | None = None) -> VAE:
    """The trained model of a run directory, or of a model.safetensors; RunError if it is missing or damaged.

    A model whose networks are your own needs them again, with any weights: those in the file go over them.
    """
    return load_with_schema(run, encoder, decoder)[0]


def load_with_schema(
    run: Path | str, encoder: nn.Module | None = None, decoder: nn.Module | None = None
) -> tuple[VAE, Schema | None]:
    """The same, and what the model's data are as training found them; None for a model that was saved without."""
    path = Path(run)
    tensors, stored = load_tensors(model_file(path))
    check_parts_are_known(stored.get("model"), str(model_file(path)))
    description = parsed(_Description, stored, str(model_file(path)), accepts_infinity=True)
    if path.is_dir():  # a model.safetensors that is named itself stands for itself
        check_mark(path, MODEL, description.mark)
    if description.schema is not None:
        check_schema(description.schema, description.event_shape, str(model_file(path)))
    config, event_shape = description.model, description.event_shape
    if config.network == OWN:
        model = _own(path, description, encoder, decoder)
    else:
        model = _built(model_file(path), config, event_shape, description.columns)
    _load_weights(model, tensors, path)
    return model.eval(), description.schema


def _load_weights(model: VAE, tensors: Mapping[str, Tensor], path: Path) -> None:
    types = {name: tensor.dtype for name, tensor in model.state_dict().items()}
    for name, tensor in tensors.items():
        if tensor.dtype != types.get(name, tensor.dtype):
            raise RunError(f"{path} holds weights of another model ({name} is {tensor.dtype}, not {types[name]}).")
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise RunError(f"{path} holds weights of another model ({str(error).splitlines()[0]}).") from error


def _built(path: Path, config: ModelConfig, event_shape: tuple[int, ...], columns: tuple[Column, ...]) -> VAE:
    try:
        return build_model(config, event_shape, generator(0, "replaced by the loaded weights"), columns=columns)
    except (UsageError, RuntimeError, ValueError) as error:
        raise RunError(f"{path} is damaged (no model can be built of it: {str(error).splitlines()[0]}).") from error


def _own(path: Path, description: _Description, encoder: nn.Module | None, decoder: nn.Module | None) -> VAE:
    if encoder is None or decoder is None:
        raise UsageError(f"{path} has networks of its own; pass them: load(path, encoder=..., decoder=...).")
    config, event_shape = description.model, description.event_shape
    return VAE(
        encoder=encoder,
        decoder=decoder,
        event_shape=event_shape,
        latent_dim=config.latent_dim,
        likelihood=build_likelihood(config, event_shape, description.columns),
        posterior=build_part("posterior", config),
        prior=build_part("prior", config),
    )


def _newest_first(folder: Path) -> list[Path]:
    found = [path for path in folder.glob("step-*.safetensors") if NAME.fullmatch(path.name)]
    return sorted(found, key=_step, reverse=True)


def _step(path: Path) -> int:
    match = NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])
