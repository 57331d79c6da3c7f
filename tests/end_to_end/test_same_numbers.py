"""The same numbers give the same scores, however they are written, and whatever lies beside them."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from lowerbound.evaluation.anomaly_scores import measure
from untrained_models import negative_elbo, untrained

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (30, 8, 9, 1), np.uint8)
ROWS = RNG.integers(0, 200, (30, 7)).astype(np.uint8)


def as_idx(path: Path, values: np.ndarray) -> Path:
    header = bytes([0, 0, 8, 3]) + np.array(values.shape[:3], ">u4").tobytes()
    path.write_bytes(header + values.astype(np.uint8).tobytes())
    return path


def as_folder(path: Path, values: np.ndarray, mode: str = "L") -> Path:
    path.mkdir()
    for number, image in enumerate(values.squeeze(-1).astype(np.uint8)):
        Image.fromarray(image).convert(mode).save(path / f"{number:03d}.png")
    return path


def as_csv(path: Path, values: np.ndarray) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(f"x{index}" for index in range(values.shape[1]))
        writer.writerows(values.tolist())
    return path


def as_parquet(path: Path, values: np.ndarray) -> Path:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({f"x{index}": column for index, column in enumerate(values.T)}), path)
    return path


def saved(path: Path, values: np.ndarray) -> Path:
    np.save(path, values)
    return path


def zipped(path: Path, values: np.ndarray) -> Path:
    np.savez_compressed(path, x=values, y=np.arange(len(values)))
    return path


def as_safetensors(path: Path, values: np.ndarray) -> Path:
    save_file({"images": np.ascontiguousarray(values)}, path)
    return path


ANY = {
    "uint8": lambda folder, values: saved(folder / "a.npy", values.astype(np.uint8)),
    "int64": lambda folder, values: saved(folder / "b.npy", values.astype(np.int64)),
    "float32": lambda folder, values: saved(folder / "c.npy", values.astype(np.float32)),
    "float64": lambda folder, values: saved(folder / "d.npy", values.astype(np.float64)),
    "npz": lambda folder, values: zipped(folder / "e.npz", values.astype(np.int16)),
    "safetensors": lambda folder, values: as_safetensors(folder / "f.safetensors", values.astype(np.uint8)),
}
OF_IMAGES = {
    "png": lambda folder, values: as_folder(folder / "grey", values),
    "colour png": lambda folder, values: as_folder(folder / "colour", values, "RGB"),
    "idx": lambda folder, values: as_idx(folder / "images-idx3-ubyte", values),
    "no channel axis": lambda folder, values: saved(folder / "g.npy", values[..., 0]),
}
OF_ROWS = {
    "csv": lambda folder, values: as_csv(folder / "h.csv", values.astype(np.int64)),
    "csv of floats": lambda folder, values: as_csv(folder / "i.csv", values.astype(np.float64)),
    "parquet": lambda folder, values: as_parquet(folder / "j.parquet", values.astype(np.int32)),
    "parquet of floats": lambda folder, values: as_parquet(folder / "k.parquet", values.astype(np.float32)),
}
KINDS = {"images": (IMAGES, ANY | OF_IMAGES), "rows": (ROWS, ANY | OF_ROWS)}
TRAINED_ON = ("uint8", "int64", "float32", "float64")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", TRAINED_ON)
def test_any_two_encodings_of_the_same_numbers_give_the_same_scores(kind, dtype, tmp_path):
    if kind == "rows":
        pytest.importorskip("pyarrow")
    values, encodings = KINDS[kind]
    model = untrained(encodings[dtype](tmp_path, values))
    expected = negative_elbo(model, encodings[dtype](tmp_path, values))
    for name, write in encodings.items():
        if name != dtype:
            found = negative_elbo(model, write(tmp_path, values))
            np.testing.assert_allclose(found, expected, rtol=1e-5, err_msg=name)
    in_python = measure(model.vae, model.examples(values.astype(np.int32)).examples)
    np.testing.assert_allclose(in_python.negative_elbo, expected, rtol=1e-5)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return untrained(as_folder(tmp_path_factory.mktemp("pictures") / "train", IMAGES))


def test_an_examples_scores_do_not_depend_on_its_batch_file_folder_or_working_directory(model, tmp_path, monkeypatch):
    together = negative_elbo(model, as_folder(tmp_path / "all", IMAGES))
    alone = as_folder(tmp_path / "alone", IMAGES[7:8])
    backwards = negative_elbo(model, as_folder(tmp_path / "backwards", IMAGES[::-1]))
    np.testing.assert_allclose(backwards[::-1], together, rtol=1e-5)
    monkeypatch.chdir(alone)
    np.testing.assert_allclose(negative_elbo(model, "000.png"), together[7:8], rtol=1e-5)


def test_dark_images_are_dark_alone_as_among_bright_ones(model, tmp_path):
    dark = RNG.integers(0, 2, (20, 8, 9, 1), np.uint8)
    alone = negative_elbo(model, saved(tmp_path / "dark.npy", dark))
    among = negative_elbo(model, saved(tmp_path / "both.npy", np.concatenate([dark, IMAGES[:1]])))
    np.testing.assert_allclose(among[:20], alone, rtol=1e-5)
