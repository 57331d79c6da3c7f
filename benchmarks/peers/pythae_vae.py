"""pythae's VAE with networks of one's own, trained by its own BaseTrainer; a worker for side_by_side.py.

The trainer is what a user of pythae's pipeline gets: its loader, its optimiser, its progress bar (on stderr). An epoch
is its train_step() with the callbacks around it; its copy of the best model after each epoch and the model it saves at
the end are left out, in its favour. For `dense` its "mse" is half the sum of squared errors, which costs the same.
"""

import tempfile
from typing import Any

import torch
from protocol import LATENT_DIM, Side, check_size, seconds_of
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import Tensor, nn
from torch_networks import (
    ADAM_EPSILON,
    LEARNING_RATE,
    NUM_FEATURES,
    count_parameters,
    decoder_body,
    encoder_body,
    read_images,
)

RECONSTRUCTION_LOSSES = {"conv": "bce", "dense": "mse"}


class Encoder(BaseEncoder):
    """A body and two heads."""

    def __init__(self, network: str) -> None:
        super().__init__()
        self.body = encoder_body(network)
        self.mean = nn.Linear(NUM_FEATURES[network], LATENT_DIM)
        self.log_variance = nn.Linear(NUM_FEATURES[network], LATENT_DIM)

    def forward(self, x: Tensor) -> ModelOutput:
        features = self.body(x)
        return ModelOutput(embedding=self.mean(features), log_covariance=self.log_variance(features))


class Decoder(BaseDecoder):
    """A body that ends in means of the pixels."""

    def __init__(self, network: str) -> None:
        super().__init__()
        self.body = decoder_body(network)

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.body(z))


class Pythae(Side):
    """A trainer, kept warm from one request to the next."""

    packages = ("pythae", "torch", "numpy")

    def __init__(self) -> None:
        super().__init__()
        self.output_dir = tempfile.TemporaryDirectory(prefix="pythae-")

    def num_threads(self) -> int:
        return torch.get_num_threads()

    def prepare_training(self, images: str, network: str, batch_size: int) -> dict[str, Any]:
        """A model that has been trained for one epoch."""
        x = read_images(images, network)
        config = VAEConfig(
            input_dim=tuple(x.shape[1:]), latent_dim=LATENT_DIM, reconstruction_loss=RECONSTRUCTION_LOSSES[network]
        )
        model = VAE(config, encoder=Encoder(network), decoder=Decoder(network))
        check_size(network, count_parameters(model))
        self.trainer = BaseTrainer(
            model,
            BaseDataset(x, torch.ones(len(x))),
            training_config=BaseTrainerConfig(
                output_dir=self.output_dir.name,
                per_device_train_batch_size=batch_size,
                learning_rate=LEARNING_RATE,
                optimizer_params={"eps": ADAM_EPSILON},
                no_cuda=True,
            ),
        )
        self.trainer.prepare_training()
        self.epoch = 0
        self.train()
        return {"num_parameters": count_parameters(model)}

    def train(self) -> dict[str, Any]:
        """One epoch."""
        losses: list[float] = []
        seconds = seconds_of(lambda: losses.append(self._epoch()))
        return {"seconds": seconds, "loss": losses[0]}

    def _epoch(self) -> float:
        self.epoch += 1
        trainer, config = self.trainer, self.trainer.training_config
        trainer.callback_handler.on_epoch_begin(
            training_config=config, epoch=self.epoch, train_loader=trainer.train_loader, eval_loader=None
        )
        loss: float = trainer.train_step(self.epoch)
        trainer.callback_handler.on_epoch_end(training_config=config)
        return loss


if __name__ == "__main__":
    Pythae().serve()
