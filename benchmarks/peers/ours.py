"""This library, through the loop that `lowerbound train` runs; a worker for side_by_side.py.

A round is one epoch of the training loop, as a user has it: shuffling, scaling, steps, progress records, and the
validation at its end (a few images here); no checkpoints are written. Inference is timed on a model that was saved and
loaded, in batches of images that stay uint8; in bfloat16 under torch.autocast, as for any PyTorch module.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from protocol import INFERENCE_BATCH_SIZES, LATENT_DIM, TASKS, Side, check_size, fastest, latency, seconds_of
from torch import Tensor

import lowerbound as lb
from lowerbound.data.batches import Batches, mean_of, scaled
from lowerbound.data.sources import Examples, Splits
from lowerbound.foundation.progress import Progress
from lowerbound.foundation.seeding import generator
from lowerbound.networks.layers import count_parameters
from lowerbound.runs.experiment import Experiment, from_settings
from lowerbound.training.checkpoint import load_model, save_model

NUM_WATCHED = 200  # images, after each epoch
ENDLESS = 1_000_000  # epochs: the driver stops asking for them

MODELS = {
    "conv": lb.ModelConfig(network="conv", hidden=(16,), channels=(32, 64), likelihood="bernoulli"),
    # C = 1 / (2 sigma²) = 1: the sum of squared errors, as in the recipe tutorial-dense.
    "dense": lb.ModelConfig(
        network="dense",
        hidden=(512,),
        likelihood="gaussian",
        likelihood_options={"sigma": 0.7071067811865476, "mean_map": "sigmoid"},
    ),
}


class Ours(Side):
    """A training that stands between two epochs, or a trained model, kept warm from one request to the next."""

    packages = ("lowerbound", "torch", "numpy")

    def num_threads(self) -> int:
        return torch.get_num_threads()

    def prepare_training(self, images: str, network: str, batch_size: int, **settings: Any) -> dict[str, Any]:
        """A model that has been trained for one epoch; `settings` are further keys of TrainingConfig."""
        train = read_images(images)
        watched = train.subset(np.arange(min(NUM_WATCHED, len(train))))
        model = new_model(network)
        config = lb.TrainingConfig(
            num_epochs=ENDLESS, batch_size=batch_size, learning_rate=1e-3, adam_epsilon=1e-7, **settings
        )
        self.epochs = epochs(lb.training_steps(model, splits(train, watched), lb.Objective(), config))
        self.train()
        return {"num_parameters": count_parameters(model)}

    def train(self) -> dict[str, Any]:
        """One epoch."""
        started = time.perf_counter()
        progress = next(self.epochs)
        return {"seconds": time.perf_counter() - started, "loss": -progress.train.objective}

    def race(
        self,
        images: str,
        watched: str,
        seed: int,
        model: dict[str, Any],
        training: dict[str, Any],
        target: float | None,
    ) -> dict[str, Any]:
        """Train until the watched images' −ELBO is at the target, or to the end of the schedule."""
        train, watch = read_images(images), read_images(watched)
        experiment = from_settings("race", {"model": model, "training": {**training, "seed": seed}})
        warm_up(experiment, train, watch)
        vae = starting_model(experiment, train)
        check_size("conv", count_parameters(vae))
        curve: list[dict[str, float]] = []
        started = time.perf_counter()
        for progress in epochs(lb.training_steps(vae, splits(train, watch), experiment.objective, experiment.training)):
            assert progress.validation is not None
            seconds = time.perf_counter() - started
            point = {"epoch": progress.epoch, "seconds": seconds, "negative_elbo": -progress.validation.elbo}
            curve.append(point)
            self.report(**point)
            if target is not None and point["negative_elbo"] <= target:
                break
        return {"curve": curve}

    def prepare_inference(self, images: str, network: str, precision: str, **_: Any) -> dict[str, Any]:
        """A loaded model, its inputs, and for each task the faster size of batch."""
        self.precision = precision
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            save_model(path, new_model(network), None, {})
            self.model = load_model(path)
        self.examples = read_images(images)
        self.z = torch.from_numpy(
            np.random.default_rng(0).standard_normal((len(self.examples), LATENT_DIM), dtype=np.float32)
        )
        self.chosen, tried = {}, {}
        for task in TASKS:
            name = f"{task}, all images"
            with self._inferring():
                self.chosen[name], tried[name] = fastest(self._ways(task))
        return {"tried": tried, "chosen": self.chosen}

    def infer(self, task: str) -> dict[str, Any]:
        """One task on all images."""
        with self._inferring():
            return {"seconds": seconds_of(self._ways(task)[self.chosen[f"{task}, all images"]])}

    def latency(self, task: str, num_calls: int) -> dict[str, Any]:
        """One task on one image."""
        x, z = scaled(self.examples.subset(np.arange(1))), self.z[:1]
        calls = {
            "encode": lambda: self.model.encode(x),
            "decode": lambda: self.model.decode(z).mean,
            "reconstruct": lambda: self.model.reconstruct(x),
        }
        with self._inferring():
            return {"seconds": latency(calls[task], num_calls)}

    @contextmanager
    def _inferring(self) -> Iterator[None]:
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bfloat16")
        with torch.inference_mode(), autocast:
            yield

    def _ways(self, task: str) -> dict[str, Callable[[], Any]]:
        return {f"batch {size}": partial(getattr(self, f"_{task}"), size) for size in INFERENCE_BATCH_SIZES}

    def _encode(self, batch_size: int) -> list[np.ndarray]:
        posteriors = [self.model.encode(x) for x in Batches(self.examples, batch_size).examples]
        return [_joined([q.mean for q in posteriors]), _joined([q.variance.log() for q in posteriors])]

    def _decode(self, batch_size: int) -> np.ndarray:
        return _joined([self.model.decode(z).mean for z in self.z.split(batch_size)])

    def _reconstruct(self, batch_size: int) -> np.ndarray:
        return _joined([self.model.reconstruct(x) for x in Batches(self.examples, batch_size).examples])


def new_model(network: str) -> lb.VAE:
    """A model of the compared size."""
    model = lb.build_model(MODELS[network], (1, 28, 28), generator(0, "initial weights"))
    check_size(network, count_parameters(model))
    return model


def starting_model(experiment: Experiment, train: Examples) -> lb.VAE:
    """The model that `lowerbound train` would start from."""
    weights = generator(experiment.training.seed, "initial weights")
    return lb.build_model(experiment.model, train.event_shape, weights, mean_of(train))


def warm_up(experiment: Experiment, train: Examples, watch: Examples) -> None:
    """Train a throwaway model for three steps and watch some images: what is done for the first time is done here."""
    few = splits(train.subset(np.arange(3 * experiment.training.batch_size)), watch.subset(np.arange(600)))
    model = starting_model(experiment, few.train)
    lb.fit(model, few, experiment.objective, replace(experiment.training, num_epochs=1))


def epochs(training: Iterator[Progress]) -> Iterator[Progress]:
    """The records at the ends of epochs."""
    return (progress for progress in training if progress.validation is not None)


def read_images(path: str) -> Examples:
    """Grey images from a .npy of bytes."""
    return Examples(np.load(path)[..., np.newaxis], 255.0)


def splits(train: Examples, watched: Examples) -> Splits:
    """What fit() takes; it reads the images alone."""
    return Splits(
        name="mnist",
        train=train,
        validation=watched,
        test=watched,
        label_names=(),
        monitored="validation",
        source="",
        binarisation="",
        checksum="",
    )


def _joined(parts: list[Tensor]) -> np.ndarray:
    return torch.cat(parts).numpy()


if __name__ == "__main__":
    Ours().serve()
