"""Saving and loading of checkpoints and trained models: safetensors files with a JSON header, never pickles.

A checkpoint is one file, written atomically. The two newest are kept: if the last one turns out to be damaged, the one
before it is used.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lowerbound.foundation.errors import RunError, UsageError
from lowerbound.foundation.run_identity import MODEL, RunPath, check_mark, is_run, mark_of, not_a_run, path_of
from lowerbound.foundation.schema import Column, Schema, check_schema
from lowerbound.foundation.seeding import generator
from lowerbound.foundation.strict import parsed
from lowerbound.foundation.tensor_files import load_tensors, save_tensors, stated_checksum
from lowerbound.foundation.text import shortened
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
    """A training state as read from disk, and why newer checkpoints were skipped: they are damaged."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]
    damaged: tuple[str, ...]


def save_checkpoint(folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write the state after `step`, then remove all checkpoints but the two newest."""
    save_tensors(folder / f"step-{step:09d}.safetensors", tensors, {**state, "mark": mark_of(folder.parent)})
    drop_checkpoints_after(folder, step)


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest intact checkpoint of the run; None if there are no checkpoints, RunError if all are damaged."""
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
        raise RunError(f"all checkpoints are damaged: {' '.join(damaged)}")
    return None


def drop_checkpoints_after(folder: Path, step: int) -> None:
    """Keep the two newest checkpoints of steps up to `step`; later ones were skipped because they are damaged."""
    found = _newest_first(folder)
    kept = [path for path in found if _step(path) <= step][:NUM_KEPT]
    for path in found:
        if path not in kept:
            path.unlink()


def save_model(path: Path, model: VAE, schema: Schema | None, about: Mapping[str, Any]) -> None:
    """Write a model's weights with its configuration and the schema of its data; `about` is stored, too.

    RunError, before anything is written, for a model that the file could not describe.
    """
    check_can_be_saved(model)
    description = {
        "model": asdict(model.config),
        "event_shape": list(model.event_shape),
        "columns": [asdict(column) for column in model.columns],
        "schema": None if schema is None else asdict(schema),
        "about": dict(about),
        **({"networks": _networks_of(model)} if model.config.network == OWN else {}),
        "mark": mark_of(path.parent),
    }
    save_tensors(path, model.state_dict(), description)


@dataclass(frozen=True, kw_only=True)
class _Description:
    """What a model file contains besides the weights."""

    model: ModelConfig
    event_shape: tuple[int, ...]
    columns: tuple[Column, ...]
    schema: Schema | None
    about: dict[str, Any]
    mark: dict[str, str]
    networks: dict[str, str] = field(default_factory=dict)  # classes of networks that are not built from `model`

    @property
    def named_networks(self) -> str:
        """The networks by their classes, for messages."""
        return (
            " and ".join(f"{kind} {name}" for kind, name in sorted(self.networks.items(), reverse=True))
            or "encoder and decoder"
        )


def _networks_of(model: VAE) -> dict[str, str]:
    networks = {"encoder": type(model.encoder), "decoder": type(model.decoder)}
    return {kind: f"{network.__module__}.{network.__qualname__}" for kind, network in networks.items()}


def model_file(run: RunPath) -> Path:
    """The model.safetensors of a run directory, or the file itself; UsageError if it does not exist."""
    path = path_of(run)
    if not path.exists():
        raise UsageError(f"{path} does not exist; give a run directory or a model.safetensors.")
    if path.is_file() and path.suffix != ".safetensors":
        raise UsageError(f"{path} is not a model; give a run directory or a model.safetensors.")
    if path.is_dir() and not is_run(path) and not (path / MODEL).exists():
        raise not_a_run(path)
    return path / MODEL if path.is_dir() else path


def model_checksum(run: Path) -> str:
    """SHA-256 of a run's model, weights and configuration together: its version, in hexadecimal."""
    return stated_checksum(run / MODEL if run.is_dir() else run)


def load_model(run: RunPath, encoder: nn.Module | None = None, decoder: nn.Module | None = None) -> VAE:
    """The trained model of a run directory, or of a model.safetensors; RunError if it is missing or damaged.

    Your own networks must be given again, with any weights, which are replaced by those in the file.
    """
    return load_with_schema(run, encoder, decoder)[0]


def load_with_schema(
    run: RunPath, encoder: nn.Module | None = None, decoder: nn.Module | None = None
) -> tuple[VAE, Schema | None]:
    """`load_model`, with the schema of the training data; None for a model that was saved without one."""
    path = path_of(run)
    tensors, stored = load_tensors(model_file(path))
    check_parts_are_known(stored.get("model"), str(model_file(path)))
    description = parsed(_Description, stored, str(model_file(path)), accepts_infinity=True)
    if path.is_dir():  # a file that is named itself need not belong to the run around it
        check_mark(path, MODEL, description.mark)
    if description.schema is not None:
        check_schema(description.schema, description.event_shape, str(model_file(path)))
    if description.model.network == OWN:
        model = _own(path, description, encoder, decoder)
    else:
        model = _built(model_file(path), description)
    _load_weights(model, tensors, path)
    return model.eval(), description.schema


def _load_weights(model: VAE, tensors: Mapping[str, Tensor], path: Path) -> None:
    types = {name: tensor.dtype for name, tensor in model.state_dict().items()}
    for name, tensor in tensors.items():
        if tensor.dtype != types.get(name, tensor.dtype):
            raise RunError(f"{path} contains weights of another model ({name} is {tensor.dtype}, not {types[name]}).")
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).splitlines()[1:] or [str(error)])  # the first line names only the class
        raise RunError(
            f"{path} contains weights of another model ({shortened(' '.join(reason.split()), 300)})."
        ) from error


def _built(path: Path, description: _Description) -> VAE:
    weights = generator(0, "replaced by the loaded weights")
    columns, schema = description.columns, description.schema
    conditions = schema.conditions if schema and description.model.condition_on else ()
    try:
        return build_model(description.model, description.event_shape, weights, columns=columns, conditions=conditions)
    except (UsageError, RuntimeError, ValueError) as error:
        raise RunError(f"{path} is damaged (no model can be built from it: {str(error).splitlines()[0]}).") from error


def _own(path: Path, description: _Description, encoder: nn.Module | None, decoder: nn.Module | None) -> VAE:
    for kind, network in (("encoder", encoder), ("decoder", decoder)):
        if not isinstance(network, nn.Module):
            came = "" if network is None else f" (got {shortened(repr(network), 100)} as the {kind})"
            raise UsageError(
                f"{path} was trained with your own networks, {description.named_networks}{came}; pass them: "
                "load(path, encoder=..., decoder=...)."
            )
    assert encoder is not None and decoder is not None
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
