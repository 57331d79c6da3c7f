"""ConditionedEncoder and ConditionedDecoder: networks that also take the context of each example, as features."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

MAX_PLANES = 32
"""Features that an image encoder takes as they are; more of them are first mapped to this many by a linear layer."""


class ConditionedEncoder(nn.Module):
    """An encoder of examples with the features of their context appended: q(z|x, y).

    Images get a constant plane for each feature, other examples a value for each.
    """

    takes_context = True

    def __init__(self, network: nn.Module, num_features: int, is_of_images: bool) -> None:
        super().__init__()
        self.network, self.is_of_images = network, is_of_images
        is_mapped = is_of_images and num_features > MAX_PLANES
        self.planes = nn.Linear(num_features, MAX_PLANES) if is_mapped else None

    @staticmethod
    def input_shape(event_shape: tuple[int, ...], num_features: int, is_of_images: bool) -> tuple[int, ...]:
        """The shape of one input of the inner network."""
        if is_of_images:
            return (event_shape[0] + min(num_features, MAX_PLANES), *event_shape[1:])
        return (torch.Size(event_shape).numel() + num_features,)

    def forward(
        self, x: Float[Tensor, "batch *event"], context: Float[Tensor, "batch feature"]
    ) -> Float[Tensor, "batch raw"]:
        context = context.to(x.dtype)
        if self.is_of_images:
            features = context if self.planes is None else self.planes(context)
            planes = features[:, :, None, None].expand(-1, -1, *x.shape[2:])
            raw: Tensor = self.network(torch.cat([x, planes], dim=1))
        else:
            raw = self.network(torch.cat([x.flatten(1), context], dim=1))
        return raw


class ConditionedDecoder(nn.Module):
    """A decoder of latents with the features of their context appended: p(x|z, y)."""

    takes_context = True

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, z: Float[Tensor, "batch latent"], context: Float[Tensor, "batch feature"]
    ) -> Float[Tensor, "batch *raw"]:
        raw: Tensor = self.network(torch.cat([z, context.to(z.dtype)], dim=1))
        return raw
