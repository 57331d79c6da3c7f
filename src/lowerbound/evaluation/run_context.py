"""Context: the part of results that describes the run: recipe, configuration, versions, data, layers.

`provenance.context_of` creates it. Each part is complete or absent.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from lowerbound.foundation.schema import Column, Layout
from lowerbound.models.config import ModelConfig
from lowerbound.networks.layers import Layer


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Number of examples of each split."""

    train: int
    validation: int
    test: int


@dataclass(frozen=True, kw_only=True)
class DataContext:
    """Data of a run."""

    name: str
    source: str
    licence: str
    sizes: Sizes
    event_shape: tuple[int, ...]
    layout: Layout
    columns: tuple[Column, ...]
    label_names: tuple[str, ...]
    factor_names: tuple[str, ...]
    notes: tuple[str, ...]
    skipped: tuple[str, ...]
    checksum: str
    test_checksum: str
    monitored: Literal["validation", "test"]  # split
    conditions: tuple[Column, ...] = ()  # of a conditional model


@dataclass(frozen=True, kw_only=True)
class ConfigContext:
    """Settings of a run; only those of the model are parsed."""

    data: dict[str, Any] = field(default_factory=dict)
    model: ModelConfig = field(default_factory=ModelConfig)
    objective: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrainingContext:
    """Summary of training."""

    epochs: int
    best_epoch: int
    stopped_early: bool
    seconds: float
    precision: str


@dataclass(frozen=True, kw_only=True)
class LayersContext:
    """The layers of both networks."""

    encoder: tuple[Layer, ...]
    decoder: tuple[Layer, ...]


@dataclass(frozen=True, kw_only=True)
class Context:
    """Description of a run."""

    recipe: str = ""
    command: str = ""
    seed: int = 0
    data: DataContext | None = None
    config: ConfigContext | None = None
    layers: LayersContext | None = None
    likelihood_parameters: int = 0
    training: TrainingContext | None = None
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, str | int] = field(default_factory=dict)
    reevaluated: bool = False
    fitted_from: str = ""  # id of the run whose networks it has, if its prior was fitted after training
