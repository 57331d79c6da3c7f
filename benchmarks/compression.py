"""Lossless compression of the MNIST test images: size, overhead over −ELBO and speed, for lanes and blocks.

    LOWERBOUND_DATA=DIR python benchmarks/compression.py runs/codec-mnist           8-bit pixels
    LOWERBOUND_DATA=DIR python benchmarks/compression.py runs/codec-mnist-binary    pixels binarised by RandomState(0)
    LOWERBOUND_DATA=DIR python benchmarks/compression.py RUN --quick                1,000 images, a trial

The images are compressed into files and read back in this process, and compared. Every file has everything in it but
the model. For single images the mean over 500 files of one image each; their words alone, and with the header. Ordinary
compressors take all images as one block, binarised ones as bits. Writes results/MACHINE/compression-RUN.json.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from measuring import digits, markdown, results_folder, source, write_figures

import lowerbound as lb
from lowerbound.compression.other_compressors import sizes_by_others
from lowerbound.data.sources import DataConfig, load

CASES = ((1, 10_000), (4, 10_000), (16, 10_000), (4, 2_500))
NUM_SINGLE = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    values = test_images(arguments.run)[: 1000 if arguments.quick else None]
    cases = [measured(arguments.run, values, lanes, block) for lanes, block in CASES]
    single = singles(arguments.run, values[: 50 if arguments.quick else NUM_SINGLE])
    figures = {"images": len(values), "cases": cases, "single": single, "others": sizes_by_others(values)}
    out = arguments.out or results_folder() / f"compression-{arguments.run.name}.json"
    _, figures = write_figures("compression", figures, out)
    print(f"{source(figures)}\n\n{table(figures)}")


def test_images(run: Path) -> np.ndarray:
    """The test images, binarised for a model of binary pixels."""
    pixels = np.asarray(load(DataConfig(source="mnist")).test.values)[..., 0]
    if lb.load(run).vae.config.likelihood != "bernoulli":
        return pixels
    return (np.random.RandomState(0).rand(*pixels.shape) < pixels / 255).astype(np.uint8) * 255


def measured(run: Path, values: np.ndarray, lanes: int, block: int) -> dict[str, Any]:
    """Size and speed of one file."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "x.lb"
        start = time.perf_counter()
        found = lb.compress(run, values, file, lanes=lanes, block=block)
        middle = time.perf_counter()
        back = lb.decompress(file, run).values
        end = time.perf_counter()
    assert back.dtype == values.dtype and np.array_equal(back, values)
    return {
        "lanes": lanes,
        "block": block,
        "bytes": found.num_bytes,
        "bits_per_dimension": found.bits_per_dimension,
        "overhead": found.overhead,
        "num_direct": found.num_direct,
        "num_exceptions": found.num_exceptions,
        "compressed_per_second": len(values) / (middle - start),
        "decompressed_per_second": len(values) / (end - middle),
    }


def singles(run: Path, values: np.ndarray) -> dict[str, float]:
    """Bits per pixel of files of one image each, with and without their headers."""
    whole, words = 0, 0
    with TemporaryDirectory() as folder:
        for number, image in enumerate(values):
            found = lb.compress(run, image[None], Path(folder) / f"{number}.lb")
            whole, words = whole + found.num_bytes, words + found.num_bytes - found.header_bytes
    return {"with_header": 8 * whole / values.size, "without_header": 8 * words / values.size}


def table(figures: dict[str, Any]) -> str:
    """A row for each file, then single images and ordinary compressors."""
    columns = (
        "lanes",
        "block",
        "bytes",
        "bits per pixel",
        "over −ELBO",
        "coded directly",
        "images a second, both ways",
    )
    rows = [
        (
            str(case["lanes"]),
            f"{case['block']:,}",
            f"{case['bytes']:,}",
            f"{case['bits_per_dimension']:.4f}",
            f"{case['overhead']:.2%}",
            str(case["num_direct"]),
            f"{digits(case['compressed_per_second'])}, {digits(case['decompressed_per_second'])}",
        )
        for case in figures["cases"]
    ]
    single, num_pixels = figures["single"], figures["images"] * 784
    others = ", ".join(f"{name} {8 * size / num_pixels:.4f}" for name, size in figures["others"].items())
    return (
        f"{markdown(columns, rows)}\n\none image alone: {single['without_header']:.4f} bits per pixel, "
        f"{single['with_header']:.4f} with the header; others: {others}"
    )


if __name__ == "__main__":
    main()
