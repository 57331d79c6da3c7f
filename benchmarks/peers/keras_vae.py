"""Keras, in the style of the VAE among its own examples, on TensorFlow; a worker for side_by_side.py.

A subclassed Model with a train_step of its own, compiled by Keras as it does by default (a graph; on a processor
without XLA), and trained by fit() on float32 arrays. A round is one epoch, from on_epoch_begin to on_epoch_end, so that
what fit() sets up before is not counted. In a race fit() and its validation are traced on the raced model itself before
the clock starts; weights, moments and noise are then put back as they were.
"""

import os
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from protocol import LATENT_DIM, TASKS, Side, check_size, fastest, latency, seconds_of

LEARNING_RATE = 1e-3
WATCH_BATCH_SIZE = 512
PREDICT_BATCH_SIZES = (32, 128, 512)  # its default, and larger ones; the fastest is kept
TRIAL_CALLS = 20  # to find the faster way of asking for one image


class Sampling(layers.Layer):
    """A draw from the posterior."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, inputs: Any) -> Any:
        z_mean, z_log_var = inputs
        epsilon = keras.random.normal(shape=ops.shape(z_mean), seed=self.seed_generator)
        return z_mean + ops.exp(0.5 * z_log_var) * epsilon


def build_encoder(network: str) -> keras.Model:
    """Images to mean, log-variance and a draw."""
    if network == "dense":
        inputs = keras.Input((784,))
        x = layers.Dense(512, activation="relu")(inputs)
    else:
        inputs = keras.Input((28, 28, 1))
        x = layers.Conv2D(32, 3, activation="relu", strides=2, padding="same")(inputs)
        x = layers.Conv2D(64, 3, activation="relu", strides=2, padding="same")(x)
        x = layers.Flatten()(x)
        x = layers.Dense(16, activation="relu")(x)
    z_mean = layers.Dense(LATENT_DIM, name="z_mean")(x)
    z_log_var = layers.Dense(LATENT_DIM, name="z_log_var")(x)
    return keras.Model(inputs, [z_mean, z_log_var, Sampling()([z_mean, z_log_var])], name="encoder")


def build_decoder(network: str) -> keras.Model:
    """Latents to means of the pixels."""
    inputs = keras.Input((LATENT_DIM,))
    if network == "dense":
        x = layers.Dense(512, activation="relu")(inputs)
        return keras.Model(inputs, layers.Dense(784, activation="sigmoid")(x), name="decoder")
    x = layers.Dense(7 * 7 * 64, activation="relu")(inputs)
    x = layers.Reshape((7, 7, 64))(x)
    x = layers.Conv2DTranspose(64, 3, activation="relu", strides=2, padding="same")(x)
    x = layers.Conv2DTranspose(32, 3, activation="relu", strides=2, padding="same")(x)
    return keras.Model(inputs, layers.Conv2DTranspose(1, 3, activation="sigmoid", padding="same")(x), name="decoder")


def cross_entropy(data: Any, reconstruction: Any) -> Any:
    return ops.sum(keras.losses.binary_crossentropy(data, reconstruction), axis=(1, 2))


def squared_error(data: Any, reconstruction: Any) -> Any:
    return ops.sum(ops.square(data - reconstruction), axis=1)


class VAE(keras.Model):
    """Encoder and decoder with the loss of the example: reconstruction error and KL, means over the batch."""

    def __init__(self, network: str) -> None:
        super().__init__()
        self.encoder, self.decoder = build_encoder(network), build_decoder(network)
        self.reconstruction_error = cross_entropy if network == "conv" else squared_error
        self.total_loss_tracker = keras.metrics.Mean(name="total_loss")
        self.reconstruction_loss_tracker = keras.metrics.Mean(name="reconstruction_loss")
        self.kl_loss_tracker = keras.metrics.Mean(name="kl_loss")

    @property
    def metrics(self) -> list[Any]:
        return [self.total_loss_tracker, self.reconstruction_loss_tracker, self.kl_loss_tracker]

    def call(self, data: Any) -> Any:
        """The decoded mean of the posterior's mean."""
        return self.decoder(self.encoder(data)[0])

    def terms(self, data: Any) -> tuple[Any, Any]:
        """Reconstruction error and KL of each image, in nats, at one draw."""
        z_mean, z_log_var, z = self.encoder(data)
        kl = -0.5 * (1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var))
        return self.reconstruction_error(data, self.decoder(z)), ops.sum(kl, axis=1)

    def train_step(self, data: Any) -> Any:
        with tf.GradientTape() as tape:
            reconstruction_errors, kls = self.terms(data)
            reconstruction_loss, kl_loss = ops.mean(reconstruction_errors), ops.mean(kls)
            total_loss = reconstruction_loss + kl_loss
        gradients = tape.gradient(total_loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        self.total_loss_tracker.update_state(total_loss)
        self.reconstruction_loss_tracker.update_state(reconstruction_loss)
        self.kl_loss_tracker.update_state(kl_loss)
        return {metric.name: metric.result() for metric in self.metrics}

    def test_step(self, data: Any) -> Any:
        reconstruction_errors, kls = self.terms(data)
        # One number for each image, so that a short last batch weighs what it should.
        self.total_loss_tracker.update_state(reconstruction_errors + kls)
        return {"total_loss": self.total_loss_tracker.result()}


class EpochClock(keras.callbacks.Callback):
    """Seconds of the epoch that ended last."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seconds = time.perf_counter() - self.started


class Curve(keras.callbacks.Callback):
    """Wall seconds since the first step and −ELBO of the watched images after each epoch; stops at the target."""

    def __init__(self, target: float, report: Callable[..., None]) -> None:
        super().__init__()
        self.target, self.report = target, report
        self.points: list[dict[str, float]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        seconds = time.perf_counter() - self.started
        point = {"epoch": epoch + 1, "seconds": seconds, "negative_elbo": float(logs["val_total_loss"])}
        self.points.append(point)
        self.report(**point)
        self.model.stop_training = point["negative_elbo"] <= self.target


class Keras(Side):
    """A compiled model and its arrays, kept warm from one request to the next."""

    packages = ("keras", "tensorflow-cpu", "numpy")

    def num_threads(self) -> int:
        # 0 is TensorFlow's default: one for each processor that the process may use.
        return tf.config.threading.get_intra_op_parallelism_threads() or len(os.sched_getaffinity(0))

    def prepare_training(self, images: str, network: str, batch_size: int) -> dict[str, Any]:
        """A model that has been trained for one epoch."""
        self.model, self.batch_size = new_model(network, seed=0), batch_size
        self.images = read_images(images, network)
        self.train()
        return {"num_parameters": count_parameters(self.model)}

    def train(self) -> dict[str, Any]:
        """One epoch."""
        clock = EpochClock()
        history = self.model.fit(self.images, batch_size=self.batch_size, epochs=1, verbose=0, callbacks=[clock])
        return {"seconds": clock.seconds, "loss": float(history.history["total_loss"][-1])}

    def race(
        self, images: str, watched: str, seed: int, batch_size: int, max_epochs: int, target: float
    ) -> dict[str, Any]:
        """Train until the watched images' −ELBO is at the target, or for `max_epochs`."""
        train, watch = read_images(images, "conv"), read_images(watched, "conv")
        model = new_model("conv", seed)
        settings: dict[str, Any] = {"batch_size": batch_size, "validation_batch_size": WATCH_BATCH_SIZE, "verbose": 0}
        start = [variable.numpy() for variable in (*model.variables, *model.optimizer.variables)]
        # Whole batches and a short one, of both kinds.
        model.fit(train[: 2 * batch_size + 1], validation_data=watch[: WATCH_BATCH_SIZE + 1], **settings)
        for variable, value in zip((*model.variables, *model.optimizer.variables), start, strict=True):
            variable.assign(value)
        curve = Curve(target, self.report)
        model.fit(train, validation_data=watch, epochs=max_epochs, callbacks=[curve], **settings)
        return {"curve": curve.points}

    def prepare_inference(self, images: str, network: str) -> dict[str, Any]:
        """A model, its inputs, and for each task the fastest of Keras' own ways."""
        self.model = new_model(network, seed=0)
        x = read_images(images, network)
        z = np.random.default_rng(0).standard_normal((len(x), LATENT_DIM), dtype=np.float32)
        self.inputs = {"encode": x, "decode": z, "reconstruct": x}
        self.chosen, tried = {}, {}
        for task in TASKS:
            for of, ways, num_calls in (
                ("all images", self._ways_for_all(task), 1),
                ("one image", self._ways_for_one(task), TRIAL_CALLS),
            ):
                self.chosen[f"{task}, {of}"], tried[f"{task}, {of}"] = fastest(ways, num_calls)
        return {"tried": tried, "chosen": self.chosen}

    def infer(self, task: str) -> dict[str, Any]:
        """One task on all images."""
        return {"seconds": seconds_of(self._ways_for_all(task)[self.chosen[f"{task}, all images"]])}

    def latency(self, task: str, num_calls: int) -> dict[str, Any]:
        """One task on one image."""
        return {"seconds": latency(self._ways_for_one(task)[self.chosen[f"{task}, one image"]], num_calls)}

    def _network(self, task: str) -> keras.Model:
        return {"encode": self.model.encoder, "decode": self.model.decoder, "reconstruct": self.model}[task]

    def _ways_for_all(self, task: str) -> dict[str, Callable[[], Any]]:
        network, inputs = self._network(task), self.inputs[task]
        return {
            f"predict, batch {size}": lambda size=size: network.predict(inputs, batch_size=size, verbose=0)
            for size in PREDICT_BATCH_SIZES
        }

    def _ways_for_one(self, task: str) -> dict[str, Callable[[], Any]]:
        network, one = self._network(task), self.inputs[task][:1]
        tensor = ops.convert_to_tensor(one)
        return {
            "predict": lambda: network.predict(one, verbose=0),
            "predict_on_batch": lambda: network.predict_on_batch(one),
            "call": lambda: network(tensor, training=False),
        }


def new_model(network: str, seed: int) -> VAE:
    """A model with its optimiser, weights drawn with `seed`."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    model = VAE(network)
    check_size(network, count_parameters(model))
    model.compile(optimizer=keras.optimizers.Adam(LEARNING_RATE))
    model.optimizer.build(model.trainable_variables)
    return model


def count_parameters(model: VAE) -> int:
    """Trainable numbers."""
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def read_images(path: str, network: str) -> np.ndarray:
    """Grey images in [0, 1] from a .npy of bytes, N×28×28×1, for `dense` N×784."""
    images = np.load(path).astype(np.float32) / np.float32(255)
    return images[..., np.newaxis] if network == "conv" else images.reshape(len(images), -1)


if __name__ == "__main__":
    Keras().serve()
