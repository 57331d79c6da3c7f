"""Plain PyTorch, in the style of the VAE among PyTorch's own examples; a worker for side_by_side.py.

A DataLoader shuffles a TensorDataset in its own process (the example's default without a GPU); images are floats in
memory, which spares it the decoding and scaling of each image that the example has. Adam, a sigmoid and
binary_cross_entropy for `conv`, squared errors for `dense`, summed over pixels; the mean over the batch is minimised.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from protocol import INFERENCE_BATCH_SIZES, LATENT_DIM, TASKS, Side, check_size, fastest, latency, seconds_of, starts
from torch import Tensor, nn, optim
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torch_networks import (
    ADAM_EPSILON,
    LEARNING_RATE,
    NUM_FEATURES,
    count_parameters,
    decoder_body,
    encoder_body,
    read_images,
)


class VAE(nn.Module):
    """Encoder, two heads, a draw, decoder."""

    def __init__(self, network: str) -> None:
        super().__init__()
        self.body = encoder_body(network)
        self.mean = nn.Linear(NUM_FEATURES[network], LATENT_DIM)
        self.log_variance = nn.Linear(NUM_FEATURES[network], LATENT_DIM)
        self.decoder = decoder_body(network)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(x)
        return self.mean(features), self.log_variance(features)

    def decode(self, z: Tensor) -> Tensor:
        images: Tensor = self.decoder(z)
        return images

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x)[0])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encode(x)
        deviation = torch.exp(0.5 * log_variance)
        z = mean + deviation * torch.randn_like(deviation)
        return self.decode(z), mean, log_variance


def binary_cross_entropy(images: Tensor, x: Tensor) -> Tensor:
    return F.binary_cross_entropy(images, x, reduction="sum")


def squared_error(images: Tensor, x: Tensor) -> Tensor:
    return F.mse_loss(images, x, reduction="sum")


RECONSTRUCTION_ERRORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "conv": binary_cross_entropy,
    "dense": squared_error,
}


class PlainTorch(Side):
    """The model, its loader and its optimiser, kept warm from one request to the next."""

    packages = ("torch", "numpy")

    def num_threads(self) -> int:
        return torch.get_num_threads()

    def prepare_training(self, images: str, network: str, batch_size: int) -> dict[str, Any]:
        """A model that has been trained for one epoch."""
        torch.manual_seed(0)
        self.model = VAE(network)
        check_size(network, count_parameters(self.model))
        self.reconstruction_error = RECONSTRUCTION_ERRORS[network]
        self.loader = DataLoader(TensorDataset(read_images(images, network)), batch_size=batch_size, shuffle=True)
        self.optimiser = optim.Adam(self.model.parameters(), lr=LEARNING_RATE, eps=ADAM_EPSILON)
        self.train()
        return {"num_parameters": count_parameters(self.model)}

    def train(self) -> dict[str, Any]:
        """One epoch."""
        losses: list[float] = []
        seconds = seconds_of(lambda: losses.append(self._epoch()))
        return {"seconds": seconds, "loss": losses[0]}

    def _epoch(self) -> float:
        self.model.train()
        total = 0.0
        for (x,) in self.loader:
            self.optimiser.zero_grad()
            images, mean, log_variance = self.model(x)
            rate = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
            loss = (self.reconstruction_error(images, x) + rate) / len(x)
            loss.backward()
            total += loss.item()
            self.optimiser.step()
        return total / len(self.loader)

    @torch.inference_mode()
    def prepare_inference(self, images: str, network: str) -> dict[str, Any]:
        """A model, its inputs, and for each task the faster size of batch."""
        torch.manual_seed(0)
        self.model = VAE(network).eval()
        check_size(network, count_parameters(self.model))
        x = read_images(images, network)
        z = torch.from_numpy(np.random.default_rng(0).standard_normal((len(x), LATENT_DIM), dtype=np.float32))
        self.inputs = {"encode": x, "decode": z, "reconstruct": x}
        self.chosen, tried = {}, {}
        for task in TASKS:
            name = f"{task}, all images"
            self.chosen[name], tried[name] = fastest(self._ways(task))
        return {"tried": tried, "chosen": self.chosen}

    @torch.inference_mode()
    def infer(self, task: str) -> dict[str, Any]:
        """One task on all images."""
        return {"seconds": seconds_of(self._ways(task)[self.chosen[f"{task}, all images"]])}

    @torch.inference_mode()
    def latency(self, task: str, num_calls: int) -> dict[str, Any]:
        """One task on one image."""
        one, call = self.inputs[task][:1], getattr(self.model, task)
        return {"seconds": latency(lambda: call(one), num_calls)}

    def _ways(self, task: str) -> dict[str, Callable[[], Any]]:
        return {f"batch {size}": partial(self._in_batches, task, size) for size in INFERENCE_BATCH_SIZES}

    def _in_batches(self, task: str, batch_size: int) -> list[np.ndarray]:
        inputs, call = self.inputs[task], getattr(self.model, task)
        return _joined([call(inputs[batch]) for batch in starts(len(inputs), batch_size)])


def _joined(parts: list[Any]) -> list[np.ndarray]:
    # As arrays of all images, which is what Keras' predict returns.
    columns = zip(*parts, strict=True) if isinstance(parts[0], tuple) else [parts]
    return [torch.cat(list(column)).numpy() for column in columns]


if __name__ == "__main__":
    PlainTorch().serve()
