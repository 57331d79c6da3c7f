"""A folder in which the documentation's code blocks run: photos, a table, arrays, and small trained runs."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import lowerbound as lb

RUNS = Path(__file__).parents[2] / "build" / "working" / "runs"


def main(folder: Path) -> None:
    """Fill the folder."""
    os.chdir(folder)
    _photos(Path("photos"))
    _photos(Path("new"))
    shutil.copy(next(Path("photos").glob("*/*.png")), "photo.png")
    _table(Path("people.csv"))
    for recipe in ("conv", "dense"):
        shutil.copytree(_kept_run(recipe), Path("runs") / recipe)
    if folder.name.endswith("export"):
        for form in ("onnx", "torch"):
            for part in lb.export(Path("runs") / "conv", form).files:
                shutil.copy(part.path, part.path.name)


def _kept_run(recipe: str) -> Path:
    """A run of a few epochs, trained once for all pages."""
    path = RUNS / recipe
    if not (path / "report.html").exists():
        shutil.rmtree(path, ignore_errors=True)
        lb.train("digits", recipe=recipe, epochs=5, out=path)
    return path


def _photos(folder: Path) -> None:
    noise = np.random.default_rng(0)
    for label in ("crosses", "discs"):
        (folder / label).mkdir(parents=True)
        for number in range(30):
            Image.fromarray(_drawn(label, noise)).save(folder / label / f"{number:02}.png")


def _drawn(label: str, noise: np.random.Generator) -> np.ndarray:
    """A cross or a disc of 16×16 pixels at a random place."""
    rows, columns = np.mgrid[:16, :16] - noise.integers(5, 11, (2, 1, 1))
    shape = (abs(rows) < 2) | (abs(columns) < 2) if label == "crosses" else rows**2 + columns**2 < 20
    picture: np.ndarray = (shape * noise.integers(120, 256)).astype(np.uint8)
    return picture


def _table(path: Path) -> None:
    noise = np.random.default_rng(0)
    lines = ["height,weight,city"]
    for _ in range(200):
        height = noise.normal(170, 9)
        weight = "" if noise.random() < 0.05 else f"{height - 100 + noise.normal(0, 8):.1f}"
        lines.append(f"{height:.1f},{weight},{noise.choice(['Ulm', 'Köln'])}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
