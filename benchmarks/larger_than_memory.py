"""Data larger than memory: 20 GB are packed, trained on, encoded and scored, each under a limit of 2 GB.

    python benchmarks/larger_than_memory.py            about 40 minutes and 21 GB of disk, in --folder
    python benchmarks/larger_than_memory.py --quick    a trial with 80 MB

The rows are made on the spot: x = W z + e with 8 factors z and noise e, all from counters, so that any row is computed
alone and the mean (0) and variance of every element are known. Each stage runs in a process of its own with RLIMIT_DATA
(private writable memory) and reports VmHWM, the peak of resident memory, which includes pages of files that are mapped.
Before and after the training on packed data, the same network trains on the first rows in memory, without a limit: the
rate of training is compared with the mean of both.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import lowerbound as lb
from lowerbound.data.packed_data import read_statistics
from lowerbound.data.packed_files import read_manifest
from lowerbound.data.remote import Location
from lowerbound.inference import anomaly, tasks

NUM_VALUES, NUM_FACTORS = 1024, 8  # 4 KiB a row in float32
NUM_ROWS, FEW_ROWS = 4_900_000, 20_000  # 20.07 GB; a trial
RESIDENT_ROWS = 200_000
BATCH_SIZE = 512
LIMIT = 2 * 10**9  # bytes
LOADINGS = np.random.default_rng(0).normal(size=(NUM_FACTORS, NUM_VALUES)).astype(np.float32)
NOISE = 0.5
SETTINGS = {
    "model": {
        "network": "dense",
        "hidden": [512],
        "latent_dim": 8,
        "likelihood": "gaussian",
        "likelihood_options": {"learn_sigma": True},
    },
    "training": {"num_epochs": 1, "min_steps": 0, "batch_size": BATCH_SIZE, "learning_rate": 1e-3},
}


class Generated:
    """The rows as a sequence; they exist nowhere else."""

    def __init__(self, num_rows: int) -> None:
        self.num_rows = num_rows

    def __len__(self) -> int:
        return self.num_rows

    def __getitem__(self, key: slice | np.ndarray) -> np.ndarray:
        rows = np.arange(*key.indices(self.num_rows)) if isinstance(key, slice) else np.asarray(key)
        z = standardised(hashed(rows, NUM_FACTORS, 1))
        return z @ LOADINGS + np.float32(NOISE) * standardised(hashed(rows, NUM_VALUES, 2))


def hashed(rows: np.ndarray, num: int, stream: int) -> np.ndarray:
    """32 random bits for each row and column: a finaliser of MurmurHash over a counter."""
    bits = (rows.astype(np.uint64)[:, None] * np.uint64(num) + np.arange(num, dtype=np.uint64)).astype(np.uint32)
    bits += np.uint32(stream * 0x9E3779B9 & 0xFFFFFFFF)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        bits ^= bits >> np.uint32(shift)
        bits *= np.uint32(factor)
    return bits ^ (bits >> np.uint32(16))


def standardised(bits: np.ndarray) -> np.ndarray:
    """The sum of four random bytes, with mean 0 and variance 1: close to normal."""
    total = bits.view(np.uint8).reshape(*bits.shape, 4).sum(-1, dtype=np.int32)
    return (total - np.float32(510)) / np.float32(np.sqrt(4 * (256**2 - 1) / 12))


def peak_mb() -> float:
    """The peak of this process's resident memory, in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def stage(name: str, folder: Path, num_rows: int) -> dict[str, float]:
    """One stage, in a process of its own."""
    if "resident" not in name:
        resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
    started = time.perf_counter()
    found = STAGES[name](folder, num_rows)
    return {"seconds": time.perf_counter() - started, "peak_mb": peak_mb(), **found}


def pack(folder: Path, num_rows: int) -> dict[str, float]:
    """Pack, and compare mean and deviation with those of the generator."""
    settings = {"data": {"layout": "array"}}
    lb.pack(Generated(num_rows), folder / "packed", settings=settings)
    location = Location(folder / "packed")
    manifest = read_manifest(location)
    statistics = read_statistics(location, manifest)
    deviation = np.sqrt((LOADINGS.astype(np.float64) ** 2).sum(0) + NOISE**2)
    error = deviation / np.sqrt(manifest.splits["train"].rows)
    return {
        "bytes": sum(shard.num_bytes for split in manifest.splits.values() for shard in split.shards),
        "mean_off_in_standard_errors": float(np.sqrt(np.mean((statistics.mean / error) ** 2))),
        "largest_relative_error_of_deviation": float(np.abs(statistics.deviation / deviation - 1).max()),
    }


def train(folder: Path, num_rows: int) -> dict[str, float]:
    """One epoch on the packed rows."""
    run = lb.train(folder / "packed", settings=SETTINGS, out=folder / "run")
    return about_training(run)


def resident(folder: Path, num_rows: int) -> dict[str, float]:
    """One epoch of the same network on rows in memory."""
    rows = Generated(num_rows)
    values = np.concatenate([rows[start : start + 8192] for start in range(0, min(num_rows, RESIDENT_ROWS), 8192)])
    return about_training(lb.train(values, settings=SETTINGS | {"data": {"layout": "array"}}))


def about_training(run: lb.Run) -> dict[str, float]:  # type: ignore[name-defined]
    """Rate and result of a training of one epoch."""
    (record,) = run.results.history
    elbo = next(score.value for score in run.results.scores if score.name == "elbo" and score.split == "test")
    return {"examples_per_second": record["examples_per_second"], "steps": record["step"], "test_elbo": elbo}


class Clock:
    """The rate between the first and the last report of progress, without what comes before and after."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, int]] = []

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.seen.append((time.perf_counter(), done))

    @property
    def rate(self) -> float:
        """Rows a second."""
        (first, before), (last, after) = self.seen[0], self.seen[-1]
        return (after - before) / (last - first)


def encode(folder: Path, num_rows: int) -> dict[str, float]:
    """Posteriors of all packed rows."""
    clock = Clock()
    tasks.encode(folder / "run", [str(folder / "packed")], shards=folder / "codes", progress=clock)
    rows = json.loads((folder / "codes" / "shards.json").read_text())["rows"]
    return {"rows": rows, "rows_per_second": clock.rate}


def score(folder: Path, num_rows: int) -> dict[str, float]:
    """Anomaly scores of all packed rows, without the importance-weighted one."""
    packed, clock = [str(folder / "packed")], Clock()
    found = anomaly.score_shards(folder / "run", packed, folder / "scores", importance=False, progress=clock)
    about = {"flagged": found.num_anomalous, "false_alarm_rate": found.threshold.rate}
    return {"rows": found.num_rows, "rows_per_second": clock.rate, **about}


def use_resident(folder: Path, num_rows: int) -> dict[str, float]:
    """Both for rows in memory."""
    rows = Generated(num_rows)
    values = np.concatenate([rows[start : start + 8192] for start in range(0, min(num_rows, RESIDENT_ROWS), 8192)])
    found = {}
    with tempfile.TemporaryDirectory(dir=folder) as place:
        np.save(f"{place}/rows.npy", values)
        encoding, scoring = Clock(), Clock()
        run, inputs = folder / "run", [f"{place}/rows.npy"]
        tasks.encode(run, inputs, shards=Path(place, "codes"), progress=encoding)
        anomaly.score_shards(run, inputs, Path(place, "scores"), importance=False, progress=scoring)
        found = {"encoded_per_second": encoding.rate, "scored_per_second": scoring.rate}
    return found


STAGES = {
    "pack": pack,
    "resident": resident,
    "train": train,
    "encode": encode,
    "score": score,
    "use-resident": use_resident,
}
ORDER = ("pack", "resident", "train", "resident", "use-resident", "encode", "score", "use-resident")


def main() -> None:
    """Run all stages, one after another, and print what each took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a trial")
    parser.add_argument("--folder", type=Path, default=Path("larger-than-memory"), help="an empty folder")
    parser.add_argument("--stages", nargs="*", default=ORDER, choices=ORDER, help="only these; others were done before")
    parser.add_argument("--stage", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    num_rows = FEW_ROWS if arguments.quick else NUM_ROWS
    if arguments.stage:
        print(json.dumps(stage(arguments.stage, arguments.folder, num_rows)))
        return
    results = arguments.folder / "results.json"
    known = json.loads(results.read_text()) if results.exists() else []
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.stages:
        command = [sys.executable, __file__, "--stage", name, "--folder", str(arguments.folder)]
        output = subprocess.run(
            [*command, *(["--quick"] if arguments.quick else [])], check=True, capture_output=True, text=True
        ).stdout
        known.append({"stage": name, **json.loads(output.splitlines()[-1])})
        results.write_text(json.dumps(known, indent=1))
        print(known[-1], flush=True)
    if not arguments.quick:
        return
    shutil.rmtree(arguments.folder)


if __name__ == "__main__":
    main()
