"""Small runs for the explorer's tests, each trained once: one epoch, one hidden layer, no report."""

import io
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load as read_tensors

from lowerbound.foundation.run_identity import sealed
from lowerbound.foundation.storage import write_toml
from lowerbound.runs.experiment import merge
from lowerbound.runs.run import train

SMALL = {
    "model": {"hidden": [16]},
    "training": {"num_epochs": 1, "min_steps": 0},
    "evaluation": {"num_exact": 2, "num_draws": 2, "manifold_sizes": [2]},
}


def trained(factory: pytest.TempPathFactory, kind: str) -> Path:
    """The run of a kind in KINDS or APART, its data beside it; not to be changed."""
    folder = factory.getbasetemp() / "explorer" / kind
    if folder.exists():
        return folder / kind
    folder.mkdir(parents=True)
    source, settings = (KINDS | APART)[kind](folder)
    with pytest.MonkeyPatch.context() as patch:
        # Which takes longer than all the rest.
        patch.setattr("lowerbound.runs.run.write_report", lambda results, path: None)
        train(source, out=folder / kind, recipe="dense", settings=merge(SMALL, settings), device="cpu")
    return folder / kind


def copied(run: Path, to: Path, **config: str) -> Path:
    """A copy of a run, with lines of its config.toml replaced by their beginnings."""
    shutil.copytree(run, to)
    text = (to / "config.toml").read_text()
    for key, value in config.items():
        lines = [f"{key} = {value!r}" if line.startswith(f"{key} = ") else line for line in text.split("\n")]
        text = "\n".join(lines)
    write_toml(to / "config.toml", sealed(tomllib.loads(text)))
    return to


def folder_of_runs(factory: pytest.TempPathFactory) -> Path:
    """Runs of all kinds, one in training, a broken one, one whose data are gone, and one whose results are, too."""
    folder = factory.mktemp("runs")
    for kind in KINDS:
        copied(trained(factory, kind), folder / kind)
    for name in ("training", "broken"):
        (copied(folder / "digits", folder / name) / "model.safetensors").unlink()
    (folder / "broken" / "config.toml").write_text("[")
    nowhere = str(folder / "nowhere" / "squares")
    copied(folder / "colour", folder / "gone", source=nowhere, data_path=nowhere)
    (copied(folder / "gone", folder / "lost") / "results.safetensors").unlink()
    return folder


def info(client, run: str):
    """What the explorer says of a run."""
    return client.get(f"/api/runs/{run}").raise_for_status().json()


def tensors(answer):
    """The arrays of a binary answer."""
    assert answer.headers["content-type"] == "application/octet-stream"
    return read_tensors(answer.raise_for_status().content)


def as_png(pixels: np.ndarray) -> bytes:
    """Pixels as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _digits(folder):
    return "digits", {"model": {"latent_dim": 2}}


def _dynamic(folder):
    return "digits", {"model": {"latent_dim": 3}, "data": {"binarisation": "dynamic"}}


def _line(folder):
    return "digits", {"model": {"latent_dim": 1}}


def _plain(folder):
    return "digits", {"model": {"posterior": "point-mass"}, "objective": {"preset": "autoencoder"}}


def _levels(folder):
    return "digits", {"model": {"likelihood": "categorical", "latent_dim": 2}}


def _colour(folder):
    """Images of 6 x 5 pixels in two classes, on levels, told apart by their colour."""
    bits = np.random.default_rng(0)
    for name, offset in (("warm", [90, 20, 0]), ("cold", [0, 20, 90])):
        (folder / "squares" / name).mkdir(parents=True)
        for number in range(20):
            pixels = np.clip(bits.integers(0, 160, (5, 6, 3)) + offset, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "squares" / name / f"{number:02}.png")
    return str(folder / "squares"), {"model": {"likelihood": "discretized-logistic", "latent_dim": 50}}


def _table(folder):
    """Forty rows of three columns, some cells missing."""
    bits = np.random.default_rng(0)
    rows = ["length,kind,number"]
    for number in range(40):
        cell = "" if number % 7 == 0 else f"{bits.normal():.3f}"
        rows.append(f"{cell},{'abc'[number % 3]},{bits.poisson(4)}")
    (folder / "things.csv").write_text("\n".join(rows) + "\n")
    return str(folder / "things.csv"), {"model": {"likelihood": "table", "latent_dim": 2}}


def _array(folder):
    values = np.random.default_rng(0).normal(size=(40, 7)).astype(np.float32)
    np.save(folder / "vectors.npy", values)
    return str(folder / "vectors.npy"), {"model": {"likelihood": "gaussian", "latent_dim": 2}}


KINDS = {
    "digits": _digits,
    "dynamic": _dynamic,
    "line": _line,
    "plain": _plain,
    "levels": _levels,
    "colour": _colour,
    "table": _table,
    "array": _array,
}


def _far(folder):
    """Arrays of numbers around ten to the ninth, of which single precision keeps nothing behind the point."""
    values = np.random.default_rng(0).normal([1e9, -1e9, 3e9, 0, 2e9, 5e9, 1e9], size=(40, 7))
    np.save(folder / "far.npy", values)
    return str(folder / "far.npy"), {"model": {"likelihood": "gaussian", "latent_dim": 2}}


def _deep(folder):
    """Grey images of 16 bits."""
    bits = np.random.default_rng(0)
    (folder / "scans").mkdir()
    for number in range(20):
        Image.fromarray(bits.integers(0, 65536, (8, 8)).astype(np.uint16)).save(folder / "scans" / f"{number:02}.png")
    return str(folder / "scans"), {"model": {"latent_dim": 2}}


def _ink(folder):
    """Images of black and white."""
    bits = np.random.default_rng(0)
    (folder / "drawings").mkdir()
    for number in range(20):
        pixels = (255 * bits.integers(0, 2, (8, 8))).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "drawings" / f"{number:02}.png")
    return str(folder / "drawings"), {"model": {"latent_dim": 2}}


APART = {"far": _far, "deep": _deep, "ink": _ink}
"""Runs that a test or two ask for by name."""
