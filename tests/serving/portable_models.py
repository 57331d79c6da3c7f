"""Small models whose every output depends on every input, and a run, to be exported."""

from collections.abc import Mapping
from pathlib import Path

import torch
from onnxruntime import InferenceSession

from lowerbound.data.sources import load
from lowerbound.evaluation.quick_evaluation import data_convention
from lowerbound.evaluation.results import Results, Scorer
from lowerbound.foundation.schema import Column
from lowerbound.foundation.seeding import generator
from lowerbound.foundation.storage import write_toml
from lowerbound.models.vae import VAE, ModelConfig, build_model
from lowerbound.runs.experiment import resolve
from lowerbound.runs.provenance import config_of
from lowerbound.training.checkpoint import save_model

BATCHES = (1, 2, 7, 256)

COLUMNS = (
    Column(name="height", kind="numeric"),
    Column(name="visits", kind="count"),
    Column(name="is new", kind="binary", levels=("no", "yes")),
    Column(name="home city", kind="categorical", levels=("Bonn", "Lyon", "Oslo")),
)


def small_model(likelihood: str, network: str = "dense", posterior: str = "diagonal-normal", **options: int) -> VAE:
    """A model of 1×7×5 images, or of rows of a table, with weights as large as trained ones."""
    is_table = likelihood == "table"
    config = ModelConfig(
        network=network,
        hidden=(6,),
        channels=(4, 4),
        latent_dim=3,
        likelihood=likelihood,
        likelihood_options=options,
        posterior=posterior,
    )
    shape, columns = ((len(COLUMNS),), COLUMNS) if is_table else ((1, 7, 5), ())
    model = build_model(config, shape, generator(0, "weights"), columns=columns).eval()
    stream = generator(0, "larger weights")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=stream)
    return model


def inputs_of(model: VAE, num_examples: int) -> dict[str, torch.Tensor]:
    """Examples that the model draws, so that its likelihood admits them, latents and noise."""
    stream = generator(0, f"inputs/{num_examples}")
    z, noise = (torch.randn(num_examples, model.latent_dim, generator=stream) for _ in range(2))
    with torch.no_grad():
        return {"x": model.decode(z).sample(stream, 1)[0], "z": z, "noise": noise}


def written_run(path: Path) -> Path:
    """A run of `conv` on the digits as `train` leaves it, but for training: its weights are drawn."""
    experiment = resolve("conv", {"data": {"source": "digits"}, "model": {"hidden": [16], "channels": [4, 8]}})
    splits = load(experiment.data)
    model = build_model(experiment.model, splits.test.event_shape, generator(0, "weights"))
    write_toml(path / "config.toml", config_of(experiment, splits, "lowerbound train digits --recipe conv"))
    save_model(path / "model.safetensors", model, splits.schema, {"data_checksum": splits.checksum})
    score = Scorer("test", data_convention(model, splits))("elbo", torch.tensor([-30.0, -31.0]), "not measured", 1)
    Results((score,), {}, {}).write(path)
    return path


def computed(session: InferenceSession, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """All outputs of a session, by name."""
    names = [value.name for value in session.get_outputs()]
    outputs = session.run(names, {value.name: inputs[value.name].numpy() for value in session.get_inputs()})
    return {name: torch.from_numpy(output) for name, output in zip(names, outputs, strict=True)}
