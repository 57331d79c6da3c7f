"""Growth of time and memory with the number of images, their size, the latents and the samples; slopes and bends.

    python benchmarks/growth.py            about a minute
    python benchmarks/growth.py --quick    a trial

Training through `fit` at speed "fast" in float32, on random bytes as images; each point runs in its own process. Times
are of steps within a pass; the cost of starting a pass (its permutation and first batch) is measured separately, and so
is the copy of the images that training makes before its first step. Memory is the peak of the process until the last
step, and what was resident before `fit` began, images included. For each quantity there are slopes in log-log between
neighbours (1 is proportional, 0 is free), and the point at which it bends: the first where the slope after it differs
from that before it by more than 0.15.
"""

import argparse
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from measuring import (
    alone,
    digits,
    markdown,
    network,
    noise_images,
    resident_mib,
    seconds_per_step,
    source,
    spread,
    timed,
    training,
    with_quartiles,
    write_figures,
)

from lowerbound.data.batches import Batches
from lowerbound.objectives.objective import Objective

BEND = 0.15  # change of the slope


@dataclass(frozen=True, kw_only=True)
class Point:
    """One training that is timed: `num_windows` windows of `window` steps each."""

    value: int  # of the varied quantity
    network: str = "dense"
    num_images: int = 10_000
    side: int = 28  # pixels
    latent_dim: int = 2
    num_samples: int = 1  # K of the importance-weighted bound; 0 is the ELBO with the analytic KL
    batch_size: int = 128
    window: int = 10  # steps
    num_windows: int = 9


def by_num_images() -> Iterator[Point]:
    for num_images in (10**3, 10**4, 10**5, 10**6):
        # A pass over 1,000 images has eight steps: only windows of one step lie within it.
        yield Point(value=num_images, num_images=num_images, num_samples=0, window=1, num_windows=300)


def by_side() -> Iterator[Point]:
    for side, window in ((16, 25), (28, 10), (32, 10), (64, 3), (128, 1)):
        yield Point(value=side, network="conv", side=side, num_images=5000, num_samples=0, batch_size=32, window=window)


def by_latent_dim() -> Iterator[Point]:
    for latent_dim in (2, 8, 32, 128, 512):
        yield Point(value=latent_dim, latent_dim=latent_dim, num_samples=0, num_images=20_000)


def by_num_samples() -> Iterator[Point]:
    for num_samples, window in ((1, 25), (5, 15), (10, 10), (50, 3)):
        yield Point(value=num_samples, num_samples=num_samples, batch_size=32, window=window)


SERIES = {
    "training images": by_num_images,
    "side of an image": by_side,
    "latent dimensions": by_latent_dim,
    "importance samples": by_num_samples,
}

QUANTITIES = {
    "us_per_image": "µs per image",
    "us_per_pixel": "µs per pixel",
    "peak_mib": "peak memory, MiB",
    "pass_ms": "start of a pass, ms",
    "copy_ms": "copy of the images, ms",
}
SHOWN = {
    "training images": ("us_per_image", "peak_mib", "pass_ms", "copy_ms"),
    "side of an image": ("us_per_image", "us_per_pixel", "peak_mib"),
    "latent dimensions": ("us_per_image", "peak_mib"),
    "importance samples": ("us_per_image", "peak_mib"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="trial run: three points of each series, two windows")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    series = {}
    for name, points in SERIES.items():
        chosen = list(points())[: 3 if arguments.quick else None]
        series[name] = grown(name, [measured(point, arguments.quick) for point in chosen])
    figures = {"series": series}
    path, written = write_figures("growth", figures, arguments.out)
    print(table(written), path, sep="\n\n")


def measured(point: Point, is_quick: bool) -> dict[str, Any]:
    """Measurements of a point, from its own process."""
    num_windows = 2 if is_quick else point.num_windows
    figures: dict[str, Any] = alone(measure, point, num_windows)
    return figures


def measure(point: Point, num_windows: int) -> dict[str, Any]:
    """Time and memory of one training."""
    images = noise_images(point.num_images, point.side)
    model = network(point.network, point.side, point.latent_dim)
    before = resident_mib("VmRSS")
    config = training(point.batch_size, point.window)
    seconds = seconds_per_step(model, images, config, num_windows, objective_of(point))
    peak = resident_mib("VmHWM")  # before the copies below
    us_per_image = [1e6 * second / point.batch_size for second in seconds]
    copies = timed(lambda: Batches(images.train, point.batch_size), 3)
    batches = Batches(images.train, point.batch_size)
    passes = timed(lambda: next(batches.shuffled(0, 0)), 3)
    return asdict(point) | {
        "us_per_image": spread(us_per_image),
        "us_per_pixel": spread([time / point.side**2 for time in us_per_image]),
        "images_per_second": 1e6 / statistics.median(us_per_image),
        "mib_before": before,
        "peak_mib": peak,
        "copy_ms": spread([1e3 * copy for copy in copies]),
        "pass_ms": spread([1e3 * start for start in passes]),
    }


def objective_of(point: Point) -> Objective:
    if not point.num_samples:
        return Objective()
    return Objective(bound="iwae", rate="monte-carlo", num_samples=point.num_samples)


def grown(name: str, points: list[dict[str, Any]]) -> dict[str, Any]:
    """A series with its slopes and bends."""
    values = [point["value"] for point in points]
    growth = {}
    for quantity in SHOWN[name]:
        local = slopes(values, [typical(point[quantity]) for point in points])
        growth[quantity] = {"slopes": local, "bends_at": bend(values, local)}
    return {"points": points, "growth": growth}


def slopes(values: Sequence[float], quantities: Sequence[float]) -> list[float]:
    """Exponents of growth between neighbours."""
    neighbours = pairwise(zip(values, quantities, strict=True))
    return [math.log(after / before) / math.log(larger / smaller) for (smaller, before), (larger, after) in neighbours]


def bend(values: Sequence[int], local: Sequence[float]) -> int | None:
    """The first value at which the slope changes by more than BEND; None if it does not."""
    changes = (abs(after - before) for before, after in pairwise(local))
    return next((value for value, change in zip(values[1:], changes, strict=False) if change > BEND), None)


def typical(quantity: float | dict[str, Any]) -> float:
    """The median of repeated measurements."""
    return float(quantity["median"]) if isinstance(quantity, dict) else quantity


def table(figures: dict[str, Any]) -> str:
    """A table for each series."""
    return "\n\n".join((*(series_table(*series) for series in figures["series"].items()), source(figures)))


def series_table(name: str, series: dict[str, Any]) -> str:
    """Points as rows; then the slopes, and where they bend."""
    shown, points = SHOWN[name], series["points"]
    rows = [(f"{point['value']:,}", *(in_digits(point[quantity]) for quantity in shown)) for point in points]
    growth = [series["growth"][quantity] for quantity in shown]
    rows.append(("slopes", *(", ".join(f"{slope:.2f}" for slope in grown["slopes"]) for grown in growth)))
    rows.append(("slope changes at", *("nowhere" if g["bends_at"] is None else f"{g['bends_at']:,}" for g in growth)))
    return markdown((name, *(QUANTITIES[quantity] for quantity in shown)), rows)


def in_digits(quantity: float | dict[str, Any]) -> str:
    return with_quartiles(quantity) if isinstance(quantity, dict) else digits(quantity)


if __name__ == "__main__":
    main()
