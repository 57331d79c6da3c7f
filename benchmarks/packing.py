"""Packing image files: images per second of `lowerbound pack`, against a plain loop over the same files.

    python benchmarks/packing.py            about a minute
    python benchmarks/packing.py --quick    a trial

The loop opens every file with Pillow and writes all pixels to one .npy array: it needs the memory for all of them,
checks nothing and cannot be restarted. Both run in this process, in turns, on files that were read before.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

import numpy as np
from measuring import digits, markdown, source, spread, with_quartiles, write_figures
from PIL import Image

from lowerbound.runs.packing import pack

ROUNDS = 3
WORKERS = (1, 2)


def small_images(folder: Path, number: int) -> Path:
    """Grey PNGs of 28 × 28, half of whose pixels are black, like those of MNIST."""
    bits = np.random.default_rng(0)
    for index in range(number):
        pixels = bits.integers(0, 256, (28, 28), np.uint8)
        pixels[:, :7], pixels[:, 21:] = 0, 0
        Image.fromarray(pixels).save(folder / f"{index:06d}.png")
    return folder


def photos(folder: Path, number: int) -> Path:
    """JPEGs of 256 × 256 in colour, smooth with some noise, like photographs."""
    bits = np.random.default_rng(0)
    for index in range(number):
        coarse = Image.fromarray(bits.integers(0, 256, (12, 12, 3), np.uint8)).resize(
            (256, 256), Image.Resampling.BICUBIC
        )
        noisy = np.clip(np.asarray(coarse) + bits.normal(0, 6, (256, 256, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{index:06d}.jpg", quality=90)
    return folder


def plain_loop(folder: Path, out: Path) -> None:
    """All pixels into one array."""
    paths = sorted(folder.iterdir())
    np.save(out, np.stack([np.asarray(Image.open(path)) for path in paths]))


def packed(workers: int) -> Callable[[Path, Path], None]:
    """Packing with this many threads."""

    def run(folder: Path, out: Path) -> None:
        pack(folder, out, workers=workers)
        rmtree(out)

    return run


def seconds(run: Callable[[Path, Path], None], folder: Path, out: Path) -> float:
    """How long it takes."""
    start = time.perf_counter()
    run(folder, out)
    return time.perf_counter() - start


def main() -> None:
    """Measure, write results/MACHINE/packing.json and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    sets = {"PNG, 28 × 28, grey": (small_images, 20_000), "JPEG, 256 × 256, colour": (photos, 2_000)}
    ways = {"plain loop": plain_loop} | {f"lowerbound pack, {n} thread(s)": packed(n) for n in WORKERS}
    measured: dict[str, dict[str, list[float]]] = {name: {way: [] for way in ways} for name in sets}
    with TemporaryDirectory() as temporary:
        for name, (make, number) in sets.items():
            number = number // 50 if quick else number
            folder = Path(temporary) / str(number)
            folder.mkdir()
            make(folder, number)
            for _ in range(1 if quick else ROUNDS):
                for way, run in ways.items():
                    out = Path(temporary) / ("array.npy" if run is plain_loop else "packed")
                    measured[name][way].append(number / seconds(run, folder, out))
    figures = {
        "load_average_after": os.getloadavg()[0],
        "images_per_second": {name: {way: spread(rates) for way, rates in of.items()} for name, of in measured.items()},
    }
    out_file = Path("/tmp/packing.json") if quick else None
    path, content = write_figures("packing", figures, out_file)
    rates = content["images_per_second"]
    rows = [[way, *(with_quartiles(rates[name][way]) for name in sets)] for way in ways]
    print(markdown(["images/s, median (quartiles)", *sets], rows))
    print(f"\n{source(content)} Load {digits(content['load_average_before'])} before. {path}")


if __name__ == "__main__":
    main()
