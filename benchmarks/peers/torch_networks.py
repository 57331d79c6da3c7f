"""The two networks in PyTorch as its own VAE example would write them, and their images as tensors.

`conv` has 3×3 kernels of stride 2 with 32 and 64 filters, a dense layer of 16, and the mirror image; `dense` has 512
units on either side. Both end in a sigmoid. Layers start as PyTorch starts them, and tensors are contiguous.
"""

import numpy as np
import torch
from torch import Tensor, nn

NUM_FEATURES = {"conv": 16, "dense": 512}
"""What enters the two heads, mean and log-variance."""

LEARNING_RATE = 1e-3
ADAM_EPSILON = 1e-7  # as in Keras


def read_images(path: str, network: str) -> Tensor:
    """Grey images in [0, 1] from a .npy of bytes, N×1×28×28, for `dense` N×784."""
    images = torch.from_numpy(np.load(path)).float().div_(255.0)
    return images.unsqueeze(1) if network == "conv" else images.flatten(1)


def encoder_body(network: str) -> nn.Sequential:
    """From images to features."""
    if network == "dense":
        return nn.Sequential(nn.Linear(784, 512), nn.ReLU())
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(7 * 7 * 64, 16),
        nn.ReLU(),
    )


def decoder_body(network: str) -> nn.Sequential:
    """From latents to means of the pixels."""
    if network == "dense":
        return nn.Sequential(nn.Linear(2, 512), nn.ReLU(), nn.Linear(512, 784), nn.Sigmoid())
    return nn.Sequential(
        nn.Linear(2, 7 * 7 * 64),
        nn.ReLU(),
        nn.Unflatten(1, (64, 7, 7)),
        nn.ConvTranspose2d(64, 64, 3, stride=2, padding=1, output_padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 3, padding=1),
        nn.Sigmoid(),
    )


def count_parameters(module: nn.Module) -> int:
    """Trainable numbers."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
