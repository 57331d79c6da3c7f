"""Five example data sets for trying the commands on your own data, made from the data of scikit-learn.

    python examples/own_data.py data

photos/    two photographs cut into 48 x 32 tiles, a subfolder for each; one file is broken
mixed/     pieces of them of any size, wide and narrow, some turned by their EXIF orientation
wine.csv   178 wines, thirteen measurements and the cultivar, one cell in ten missing
depth/     16-bit grey: smooth surfaces, 40 wide and 24 high
icons/     8-bit palettes, 17 x 17: a few colours each
"""

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images, load_wine

TILE = (48, 32)  # width, height
ORIENTATION = 0x0112  # EXIF's tag


def main(folder: Path) -> None:
    """Write all five into `folder`."""
    stream = np.random.default_rng(0)
    photos(folder / "photos")
    mixed(folder / "mixed", stream)
    wine(folder / "wine.csv", stream)
    depth(folder / "depth", stream)
    icons(folder / "icons", stream)


def photos(folder: Path) -> None:
    """Tiles of scikit-learn's two photographs, by Gerhard Ertl and by Brigitte Wiedenmann."""
    images = load_sample_images()
    for name, pixels in zip(images.filenames, images.images, strict=True):
        kind = folder / Path(name).stem
        kind.mkdir(parents=True, exist_ok=True)
        width, height = TILE
        for top in range(0, pixels.shape[0] - height, height // 2):
            for left in range(0, pixels.shape[1] - width, width // 2):
                tile = Image.fromarray(pixels[top : top + height, left : left + width])
                tile.save(kind / f"{top:03d}-{left:03d}.jpg", quality=92)
    (folder / "china" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more than a beginning")


def mixed(folder: Path, stream: np.random.Generator) -> None:
    """Crops of 30 to 300 pixels a side, in several formats."""
    folder.mkdir(parents=True, exist_ok=True)
    images = load_sample_images().images
    for number in range(200):
        pixels = images[number % 2]
        height, width = stream.integers(30, 300, 2)
        top, left = stream.integers(0, pixels.shape[0] - height), stream.integers(0, pixels.shape[1] - width)
        piece = Image.fromarray(pixels[top : top + height, left : left + width])
        exif = Image.Exif()
        if number % 10 == 0:  # as a camera stores a portrait: rotated, with an EXIF tag
            piece = piece.transpose(Image.Transpose.ROTATE_90)
            exif[ORIENTATION] = 6
        piece.save(folder / f"{number:03d}.{('jpg', 'png', 'webp')[number % 3]}", exif=exif)


def wine(path: Path, stream: np.random.Generator) -> None:
    """The UCI wines, with cells removed at random."""
    data = load_wine()
    rows = [[f"{value:g}" for value in row] for row in data.data]
    for row in rows:
        for column in np.flatnonzero(stream.random(len(row)) < 0.1):
            row[column] = ""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*data.feature_names, "cultivar"])
        writer.writerows([*row, data.target_names[label]] for row, label in zip(rows, data.target, strict=True))


def depth(folder: Path, stream: np.random.Generator) -> None:
    """A tilted plane with a bump, in 65,536 grey levels."""
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[0:24, 0:40] / 24
    for number in range(300):
        slope, (at_x, at_y), height = stream.normal(0, 0.2, 2), stream.uniform(0.2, 1.2, 2), stream.uniform(0.1, 0.4)
        bump = height * np.exp(-20 * ((x - at_x) ** 2 + (y - at_y) ** 2))
        surface = (0.4 + slope[0] * (x - 0.8) + slope[1] * (y - 0.5) + bump).clip(0, 1)
        Image.fromarray((65535 * surface).astype(np.uint16)).save(folder / f"{number:03d}.png")


def icons(folder: Path, stream: np.random.Generator) -> None:
    """A disc or a square of one colour on another, saved with a palette."""
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[0:17, 0:17] - 8
    colours = np.array([[200, 40, 40], [40, 120, 200], [240, 200, 60], [250, 250, 250], [30, 30, 40]], np.uint8)
    for number in range(300):
        inside, outside = stream.choice(5, 2, replace=False)
        size, across, down = stream.integers(3, 7), *stream.integers(-2, 3, 2)
        u, v = x - across, y - down
        shape = (u**2 + v**2 <= size**2) if stream.random() < 0.5 else (np.maximum(abs(u), abs(v)) <= size)
        pixels = np.where(shape[..., np.newaxis], colours[inside], colours[outside])
        Image.fromarray(pixels).quantize(8).save(folder / f"{number:03d}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "data"))
