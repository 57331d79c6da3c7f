"""What a likelihood p(x|z) is: raw decoder output to a distribution over examples.

A likelihood states the shape of the raw tensor it wants from the decoder (`raw_shape`), owns the map from that
tensor to its parameters, and says which data it can score. The network knows nothing of it.
"""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from lowerbound.probability.distributions import Distribution
from lowerbound.values import Support


class Likelihood(nn.Module, ABC):
    """A family p(x|z), with whatever parameters do not depend on z."""

    is_within_unit_interval = False  # whether all its values lie in [0, 1]

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.event_shape = event_shape

    @property
    @abstractmethod
    def raw_shape(self) -> tuple[int, ...]:
        """Shape of the raw decoder output for one example."""

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of what the encoder reads of one example."""
        return self.event_shape

    @abstractmethod
    def forward(self, raw: Float[Tensor, "*batch_and_raw"]) -> Distribution:
        """The distribution over examples that a raw output stands for."""

    def features(self, x: Float[Tensor, "*batch_and_event"]) -> Float[Tensor, "*batch_and_features"]:
        """What the encoder reads in place of x; the data themselves, unless their scale is no network's."""
        return x

    def standardise(self, mean: Float[Tensor, " *event"], deviation: Float[Tensor, " *event"]) -> None:
        """Take the training data's mean and standard deviation as origin and unit, where the family has any."""

    @abstractmethod
    def raw_of_mean(self, mean: Float[Tensor, " *event"]) -> Float[Tensor, " *raw"]:
        """The raw output whose distribution has this mean: the output map, inverted."""

    @abstractmethod
    def convention(self, support: Support) -> str:
        """What log p(x|z) means for data in `support`; DataError where it has no meaning."""
