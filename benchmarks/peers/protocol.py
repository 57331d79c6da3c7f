"""What every worker of a comparison shares: one JSON line per request on stdin, one per answer on stdout.

A worker is a script of this folder, run by the interpreter of its own environment; it may know nothing of the others'
libraries, and this module nothing but Python's own. Whatever a library prints goes to stderr.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from statistics import median
from typing import Any

NUM_PARAMETERS = {"conv": 134_165, "dense": 403_972 + 403_728}
"""Trainable numbers of the two networks, encoder and decoder together: the same for every side."""

LATENT_DIM = 2
INFERENCE_BATCH_SIZES = (125, 500)  # of the PyTorch sides; the faster is kept for each task
TASKS = ("encode", "decode", "reconstruct")


class Side:
    """One side of a comparison. Its public methods are what the driver may ask for; each returns a JSON object."""

    packages: tuple[str, ...] = ()  # whose versions are recorded

    def __init__(self) -> None:
        sys.stdout.flush()  # what imports have printed; the driver reads past it, up to the first message
        self._messages = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def about(self) -> dict[str, Any]:
        """Versions of the libraries, and how many threads they compute with."""
        versions = {name: version(name) for name in self.packages}
        return {"versions": {"python": sys.version.split()[0], **versions}, "threads": self.num_threads()}

    def num_threads(self) -> int:
        """Threads that one operation is spread over."""
        raise NotImplementedError

    def report(self, **record: Any) -> None:
        """Say where a long request stands."""
        self._send("progress", record)

    def serve(self) -> None:
        """Answer requests until stdin ends."""
        self._send("ready", {})
        for line in sys.stdin:
            request = json.loads(line)
            try:
                self._send("answer", getattr(self, request["call"])(**request["arguments"]))
            except Exception as error:
                reason = (str(error).splitlines() or [""])[0]
                self._send("error", {"reason": f"{type(error).__name__}: {reason}"})

    def _send(self, kind: str, content: dict[str, Any]) -> None:
        self._messages.write(json.dumps({"kind": kind, "content": content}) + "\n")
        self._messages.flush()


def check_size(network: str, num_parameters: int) -> None:
    """ValueError where a side's network is not the one that all are compared on."""
    if num_parameters != NUM_PARAMETERS[network]:
        raise ValueError(f"{network} has {num_parameters:,} parameters, it needs {NUM_PARAMETERS[network]:,}")


def seconds_of(call: Callable[[], Any]) -> float:
    """Wall seconds of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def latency(call: Callable[[], Any], num_calls: int) -> float:
    """Median wall seconds of a call, after one that is not counted."""
    call()
    return median(seconds_of(call) for _ in range(num_calls))


def fastest(ways: Mapping[str, Callable[[], Any]], num_calls: int = 1) -> tuple[str, dict[str, float]]:
    """The name of the fastest of several ways of doing one thing, and the wall seconds of each."""
    tried = {name: latency(way, num_calls) for name, way in ways.items()}
    return min(tried, key=tried.__getitem__), tried


def starts(num_examples: int, batch_size: int) -> Iterator[slice]:
    """The batches of an array, in order."""
    return (slice(start, start + batch_size) for start in range(0, num_examples, batch_size))
