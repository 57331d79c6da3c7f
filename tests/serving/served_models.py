"""Small models that are served, and a server of them in a thread of this process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from lowerbound.foundation.schema import Column, Schema, Support
from lowerbound.foundation.seeding import generator
from lowerbound.models.vae import ModelConfig, build_model
from lowerbound.runs.trained_model import TrainedModel
from lowerbound.serving.http import hosting
from lowerbound.serving.http.access import access_to
from lowerbound.serving.service.application import build_application
from lowerbound.serving.service.limits import Limits
from lowerbound.serving.service.models import ServedModel

SIDE = 8
COLUMNS = (
    Column(name="height", kind="numeric"),
    Column(name="visits", kind="count"),
    Column(name="colour", kind="categorical", levels=("blue", "green", "red")),
)


def digits(name="digits", schema=None, **config):
    """Grey images of 8 × 8, two latents."""
    chosen = {"network": "conv", "hidden": (8,), "channels": (4, 8), **config}
    return served(name, "0123456789ab", model((1, SIDE, SIDE), **chosen), schema or images_of((SIDE, SIDE, 1)))


def sixteens(name="sixteens"):
    """The same of pixels that are stored as 0 to 16, as those of `digits` are."""
    return digits(name, images_of((SIDE, SIDE, 1), range=(0.0, 16.0)))


def drawings(name="drawings", binarisation="none", **schema):
    """The same of black and white pixels: stored as 0 and 255, or drawn from 0 to 16."""
    is_drawn = binarisation != "none"
    support = Support(0.0, 1.0, num_levels=17 if is_drawn else 2, is_binary=True)
    chosen = {"range": (0.0, 16.0 if is_drawn else 255.0), "support": support, "binarisation": binarisation}
    return digits(name, images_of((SIDE, SIDE, 1), **chosen, **schema))


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
    return served("icons", "ba9876543210", model((3, 6, 10), **config), images_of((6, 10, 3)))


def people(columns=COLUMNS):
    """Rows of a table."""
    built = model((len(columns),), columns, hidden=(8,), latent_dim=2, likelihood="table")
    support = Support(0.0, 9.0, has_missing=True)
    schema = Schema(layout="table", shape=(len(columns),), dtype="", columns=columns, support=support)
    return served("people", "aaaabbbbcccc", built, schema)


def spectra(name="spectra", dtype="float64", **schema):
    """Arrays of real numbers."""
    built = model((5,), hidden=(8,), latent_dim=2, likelihood="gaussian")
    about = {"layout": "array", "shape": (5,), "dtype": dtype, "support": Support(-9.0, 9.0), **schema}
    return served(name, "ddddeeeeffff", built, Schema(**about))


def code():
    """A deterministic autoencoder."""
    return digits("code", posterior="point-mass")


def model(event_shape, columns=(), **config):
    built = build_model(ModelConfig(**config), event_shape, generator(0, "weights"), columns=columns)
    return built.eval().requires_grad_(False)


def images_of(shape, range=(0.0, 255.0), dtype="uint8", support=None, **schema):
    """The schema of images on levels from 0."""
    levels = support or Support(0.0, 1.0, num_levels=int(range[1]) + 1 if dtype == "uint8" else 0)
    return Schema(layout="image", shape=shape, dtype=dtype, range=range, support=levels, **schema)


def served(name, version, vae, schema):
    return ServedModel(name, version, TrainedModel(vae, schema))


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
