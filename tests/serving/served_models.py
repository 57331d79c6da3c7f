"""Small models that are served, and a server of them in a thread of this process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from lowerbound.data.images import ImageOptions
from lowerbound.model import ModelConfig, build_model
from lowerbound.schema import Column
from lowerbound.seeding import generator
from lowerbound.serving import hosting
from lowerbound.serving.access import access_to
from lowerbound.serving.service.application import build_application
from lowerbound.serving.service.limits import Limits
from lowerbound.serving.service.models import Served

SIDE = 8
COLUMNS = (
    Column(name="height", kind="numeric"),
    Column(name="visits", kind="count"),
    Column(name="colour", kind="categorical", levels=("blue", "green", "red")),
)


def digits(name="digits", **config):
    """Grey images of 8 × 8, two latents."""
    options = ImageOptions(size=(SIDE, SIDE), num_channels=1)
    chosen = {"network": "conv", "hidden": (8,), "channels": (4, 8), **config}
    return Served(name, "0123456789ab", model((1, SIDE, SIDE), **chosen), "image", options)


def icons():
    """Colour images on 256 levels, three latents."""
    config = {
        "network": "conv",
        "hidden": (8,),
        "channels": (4,),
        "latent_dim": 3,
        "likelihood": "discretized-logistic",
    }
    config["likelihood_options"] = {"num_levels": 256}
    return Served(
        "icons", "ba9876543210", model((3, 6, 10), **config), "image", ImageOptions(size=(10, 6), num_channels=3)
    )


def people():
    """Rows of a table."""
    built = model((3,), hidden=(8,), latent_dim=2, likelihood="table", columns=COLUMNS)
    return Served("people", "aaaabbbbcccc", built, "table")


def spectra():
    """Arrays of real numbers."""
    return Served("spectra", "ddddeeeeffff", model((5,), hidden=(8,), latent_dim=2, likelihood="gaussian"), "array")


def code():
    """A deterministic autoencoder."""
    return digits("code", posterior="point-mass")


def model(event_shape, **config):
    return build_model(ModelConfig(**config), event_shape, generator(0, "weights")).eval().requires_grad_(False)


def application(*runs, limits=None, access=None, **options):
    """The service of these runs, with nothing on standard error."""
    options.setdefault("log", lambda line: None)
    return build_application(runs, limits or Limits(), access or access_to("127.0.0.1"), **options)


@contextmanager
def running(app) -> Iterator[str]:
    """The application on a port of its own, in a thread: its URL."""
    bound = hosting.bind("127.0.0.1", 0)
    is_ready = threading.Event()
    server = hosting.server_for(app, bound, lambda url: is_ready.set(), grace=5.0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        assert is_ready.wait(20)
        yield hosting.url_of(bound)
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def images(number, event_shape=(1, SIDE, SIDE), seed=0):
    return np.random.default_rng(seed).random((number, *event_shape), np.float32)


def tensor(array):
    return torch.from_numpy(np.ascontiguousarray(array))
