"""The service under load: many concurrent clients with all kinds of requests, for a minute.

    python benchmarks/serving_load.py [--run runs/conv] [--clients 256] [--seconds 60]

`lowerbound serve` with its default limits runs in one process, all clients in another: each sends one request after
another without pause, and after a 503 waits for Retry-After. Client and server share the machine. Recorded are every
status, the latency of each kind of request (seconds until the whole response, without 503s), and the server's resident
memory every second. The benchmark fails unless

    every status is 200 or 503, and no connection breaks,
    memory is constant: its maximum in the last third is at most 2 % above that in the second third.

Writes benchmarks/results/MACHINE/serving_load.json.
"""

import argparse
import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import numpy as np
from measuring import MIB, digits, markdown, source, write_figures
from PIL import Image
from serving_throughput import NAME, new_run, serving

PERCENTILES = (50, 90, 99, 100)
SHARE_OF_GROWTH = 0.02
ACCEPTED = {200, 503}

Send = Callable[[aiohttp.ClientSession, random.Random], Awaitable[int]]


@dataclass
class Record:
    """The results of one kind of request."""

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="A run of images of 28 × 28; a new conv if not given.")
    parser.add_argument("--clients", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        run = arguments.run or new_run(Path(folder) / "conv")
        with serving(f"{NAME}={run}", log=None) as (url, process):
            load = Load(url, process)
            asyncio.run(load.go(arguments.clients, arguments.seconds))
    figures = {"unit": "seconds", "clients": arguments.clients, "seconds": arguments.seconds, **load.figures()}
    path, figures = write_figures("serving_load", figures, arguments.out)
    print(table(figures), f"\n{source(figures)}\n{path}")
    load.judge()


class Load:
    """All clients, and what they met."""

    def __init__(self, url: str, process: int) -> None:
        self.url, self.process = url, process
        self.records = {kind: Record() for kind in KINDS}
        self.memory: list[float] = []
        self.duration = 0.0

    async def go(self, num_clients: int, seconds: float) -> None:
        """Ask until the time is over; what was asked by then is waited for."""
        connector = aiohttp.TCPConnector(limit=num_clients)
        timeout = aiohttp.ClientTimeout(total=seconds + 60)
        start = time.perf_counter()
        async with aiohttp.ClientSession(self.url, connector=connector, timeout=timeout) as session:
            clients = [self.client(session, random.Random(seed), start + seconds) for seed in range(num_clients)]
            watch = asyncio.create_task(self.watch())
            await asyncio.gather(*clients)
            watch.cancel()
        self.duration = time.perf_counter() - start

    async def client(self, session: aiohttp.ClientSession, choice: random.Random, end: float) -> None:
        """One request after another."""
        weights = [weight for weight, _ in KINDS.values()]
        while (start := time.perf_counter()) < end:
            (kind,) = choice.choices(list(KINDS), weights)
            record = self.records[kind]
            try:
                status = await KINDS[kind][1](session, choice)
            except (aiohttp.ClientError, TimeoutError) as error:
                record.statuses[type(error).__name__] += 1
                continue
            record.statuses[str(status)] += 1
            if status == 200:
                record.seconds.append(time.perf_counter() - start)
            else:
                await asyncio.sleep(1)  # as Retry-After says

    async def watch(self) -> None:
        """The server's resident memory, every second."""
        while True:
            text = Path(f"/proc/{self.process}/status").read_text()
            (line,) = (line for line in text.splitlines() if line.startswith("VmRSS:"))
            self.memory.append(1024 * int(line.split()[1]) / MIB)
            await asyncio.sleep(1)

    def figures(self) -> dict[str, Any]:
        """Everything that was recorded."""
        answered = sum(len(record.seconds) for record in self.records.values())
        return {
            "duration": self.duration,
            "answered": answered,
            "answered_per_second": answered / self.duration,
            "statuses": dict(sum((record.statuses for record in self.records.values()), Counter())),
            "kinds": {kind: about(record) for kind, record in self.records.items()},
            "resident_mib": self.memory,
        }

    def judge(self) -> None:
        """Stop with a reason where the service did not hold."""
        statuses = set().union(*(record.statuses for record in self.records.values()))
        others = statuses - {str(status) for status in ACCEPTED}
        third = len(self.memory) // 3
        before, after = max(self.memory[third:-third]), max(self.memory[-third:])
        if others:
            raise SystemExit(f"there were other answers than 200 and 503: {', '.join(sorted(others))}")
        if after > (1 + SHARE_OF_GROWTH) * before:
            raise SystemExit(f"memory grew from {before:.0f} to {after:.0f} MiB")


def about(record: Record) -> dict[str, Any]:
    """Statuses and latencies of one kind of request."""
    percentiles = np.percentile(record.seconds, PERCENTILES) if record.seconds else [float("inf")] * len(PERCENTILES)
    named = {f"p{percentile}": float(value) for percentile, value in zip(PERCENTILES, percentiles, strict=True)}
    return {"statuses": dict(record.statuses), **named}


async def get(session: aiohttp.ClientSession, path: str) -> int:
    async with session.get(path) as response:
        await response.read()
        return response.status


async def post(session: aiohttp.ClientSession, path: str, body: bytes, headers: dict[str, str] | None = None) -> int:
    async with session.post(path, data=body, headers=headers) as response:
        await response.read()
        return response.status


def images(choice: random.Random, number: int) -> np.ndarray:
    return np.random.default_rng(choice.getrandbits(32)).random((number, 1, 28, 28), np.float32)


async def infer_binary(session: aiohttp.ClientSession, choice: random.Random) -> int:
    x = images(choice, choice.choice((1, 4, 16, 64)))
    operation = choice.choice(("encode", "reconstruct"))
    entry = {"name": "x", "shape": x.shape, "datatype": "FP32", "parameters": {"binary_data_size": x.nbytes}}
    text = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}}).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))}
    return await post(session, f"/v2/models/{NAME}.{operation}/infer", text + x.tobytes(), headers)


async def infer_json(session: aiohttp.ClientSession, choice: random.Random) -> int:
    z = [choice.gauss(0, 1) for _ in range(8)]
    body = {"inputs": [{"name": "z", "shape": [4, 2], "datatype": "FP32", "data": z}]}
    return await post(session, f"/v2/models/{NAME}.decode/infer", json.dumps(body).encode())


async def score_json(session: aiohttp.ClientSession, choice: random.Random) -> int:
    x = images(choice, 1)
    body = {"inputs": [{"name": "x", "shape": x.shape, "datatype": "FP32", "data": x.ravel().tolist()}]}
    return await post(session, f"/v2/models/{NAME}.score/infer", json.dumps(body).encode())


async def encode_png(session: aiohttp.ClientSession, choice: random.Random) -> int:
    buffer = BytesIO()
    Image.fromarray((255 * images(choice, 1)[0, 0]).astype(np.uint8)).save(buffer, "PNG")
    return await post(session, "/encode", buffer.getvalue())


async def generate_png(session: aiohttp.ClientSession, choice: random.Random) -> int:
    return await get(session, f"/generate.png?num=16&seed={choice.getrandbits(20)}")


async def health(session: aiohttp.ClientSession, choice: random.Random) -> int:
    return await get(session, "/v2/health/ready")


async def metrics(session: aiohttp.ClientSession, choice: random.Random) -> int:
    return await get(session, "/metrics")


KINDS: dict[str, tuple[float, Send]] = {
    "infer, binary, 1 to 64 images": (6, infer_binary),
    "infer, JSON, decode 4": (6, infer_json),
    "infer, JSON, score 1": (2, score_json),
    "POST /encode, PNG": (4, encode_png),
    "GET /generate.png": (2, generate_png),
    "GET /v2/health/ready": (2, health),
    "GET /metrics": (1, metrics),
}
"""Each kind of request and how often it is chosen, beside the others."""


def table(figures: dict[str, Any]) -> str:
    """The figures as a table for docs/serving.md."""
    columns = ("request", "answered", "503", *(f"p{percentile}, ms" for percentile in PERCENTILES[:-1]), "longest, ms")
    rows = [
        (
            kind,
            f"{record['statuses'].get('200', 0):,}",
            f"{record['statuses'].get('503', 0):,}",
            *(digits(1e3 * record[f"p{percentile}"]) for percentile in PERCENTILES),
        )
        for kind, record in figures["kinds"].items()
    ]
    memory = figures["resident_mib"]
    note = f"{figures['answered_per_second']:.0f} answers/s; resident memory {min(memory):.0f} to {max(memory):.0f} MiB"
    return f"{markdown(columns, rows)}\n\n{note}"


if __name__ == "__main__":
    main()
