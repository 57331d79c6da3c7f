"""VampPrior: a mixture of the posteriors of learned pseudo-inputs, p(z) = (1/K) Σ_k q(z|u_k).

The prior uses the encoder of the model that it belongs to, which it receives by `bind`. Training computes the encoder's
outputs of all pseudo-inputs once for each step. Outside of training the mixture is kept until a weight changes.

Source: Tomczak and Welling, "VAE with a VampPrior", arXiv:1705.07120, Equation 9.
"""

import math
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.ranges import Range, check_number
from lowerbound.foundation.seeding import generator
from lowerbound.probability.distributions import DiagonalNormal
from lowerbound.probability.mixture_prior import NUM_COMPONENTS, MixtureOfNormalsPrior
from lowerbound.probability.normals import MixtureOfNormals
from lowerbound.probability.prior import Inference, NormalMixturePrior

START_IN_UNIT_INTERVAL = (0.05, 0.01)
"""Mean and standard deviation of initial pseudo-inputs in [0, 1]: those of the published code, nearly black images."""


class VampPrior(NormalMixturePrior):
    """Mixture of posteriors at pseudo-inputs, which are learned within the range of the encoder's inputs."""

    accepted_options: ClassVar[dict[str, Range]] = {"num_components": NUM_COMPONENTS}
    pseudo_inputs: nn.Parameter  # [component, feature], once the prior has a model

    def __init__(self, latent_dim: int, num_components: Annotated[int, "Pseudo-inputs."] = 500) -> None:
        super().__init__(latent_dim)
        check_number("num_components", num_components, NUM_COMPONENTS)
        self.num_components = num_components
        self.start: tuple[Tensor | float, Tensor | float] = (0.0, 1.0)
        self._cached: tuple[Any, MixtureOfNormals] | None = None
        self._keep(None)

    def bind(self, model: Inference) -> None:
        """Receive the model. ConfigError for a second one, and for one whose posteriors form no such mixture."""
        self._check(model)
        self._keep(model)
        like = next(model.encoder.parameters(), torch.zeros(()))
        num_features = math.prod(model.likelihood.feature_shape)
        self.pseudo_inputs = nn.Parameter(like.new_zeros(self.num_components, num_features))
        if self._range == (0, 1):
            self.start = START_IN_UNIT_INTERVAL
        self.initialise(generator(0, "pseudo-inputs"))

    def _check(self, model: Inference) -> None:
        if self.__dict__["_model"] is not None:
            raise ConfigError("this VampPrior already belongs to a model, whose encoder it uses; build another one.")
        if model.takes_context:
            raise ConfigError(
                "prior 'vamp' does not fit a conditional model: its pseudo-inputs have no labels; use prior "
                "'mixture-of-normals'."
            )
        if model.likelihood.feature_range is None:
            raise ConfigError(
                "prior 'vamp' does not fit the rows of a table: its pseudo-inputs vary continuously, and the columns' "
                "categories and missing cells do not; use prior 'mixture-of-normals'."
            )
        if type(model.posterior_of_zeros()) is not DiagonalNormal:
            raise ConfigError(
                "prior 'vamp' is a mixture of posteriors, which is implemented for model.posterior 'diagonal-normal'; "
                "use it, or prior 'mixture-of-normals'."
            )

    def _keep(self, model: Inference | None) -> None:
        # Not as a submodule: the model would contain itself.
        self.__dict__["_model"] = model

    @property
    def model(self) -> Inference:
        """The model that the prior belongs to; ConfigError if it has none yet."""
        model: Inference | None = self.__dict__["_model"]
        if model is None:
            raise ConfigError("prior 'vamp' uses the encoder of its model: pass it to VAE(prior=...) first.")
        return model

    @property
    def _range(self) -> tuple[float, float]:
        return self.model.likelihood.feature_range or (-math.inf, math.inf)

    def standardise(self, mean: Float[Tensor, " *features"], deviation: Float[Tensor, " *features"]) -> None:
        """Pseudo-inputs that are not within [0, 1] start with this mean and standard deviation."""
        if self._range != (0, 1):
            self.start = mean.flatten(), deviation.flatten()

    @torch.no_grad()
    def initialise(self, generator: Generator) -> None:
        """Draw the pseudo-inputs from a normal around their start, within their range."""
        inputs, (mean, deviation) = self.pseudo_inputs, self.start
        drawn = mean + deviation * torch.randn(inputs.shape, generator=generator, dtype=inputs.dtype)
        inputs.copy_(drawn.clamp(*self._range))

    def family(self) -> MixtureOfNormals:
        like = torch.zeros(1, self.latent_dim)
        return MixtureOfNormals(torch.zeros(1), DiagonalNormal(like, like))

    def standalone(self) -> MixtureOfNormalsPrior:
        """The mixture with its present components, as a prior that uses no encoder."""
        return MixtureOfNormalsPrior.of(self()).eval().requires_grad_(False)

    def forward(self) -> MixtureOfNormals:
        state = self._state()
        if state is None:
            return self._mixture()
        if self._cached is None or self._cached[0] != state:
            self._cached = state, self._mixture()
        return self._cached[1]

    def _mixture(self) -> MixtureOfNormals:
        # As published: the gradient vanishes outside of the range, and draws start within it.
        inputs = self.pseudo_inputs.clamp(*self._range)
        posteriors = self.model.posterior_of_features(inputs.unflatten(1, self.model.likelihood.feature_shape))
        assert isinstance(posteriors, DiagonalNormal)
        return MixtureOfNormals(inputs.new_zeros(self.num_components), posteriors)

    def _state(self) -> tuple[Any, ...] | None:
        """What the mixture depends on; it differs after any change of a weight. None if it must be computed again."""
        tensors = list(self._tensors())
        is_differentiated = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
        is_training = self.training or self.model.encoder.training
        # Tensors of inference mode have no version.
        if is_training or is_differentiated or any(tensor.is_inference() for tensor in tensors):
            return None
        kind = self.pseudo_inputs.device.type
        precision = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind), torch.is_inference_mode_enabled()
        # Sums, because a step of a fused optimiser changes weights and not their version.
        sums = torch.stack([tensor.detach().sum(dtype=torch.float64) for tensor in tensors]).tolist()
        versions = ((tensor.data_ptr(), tensor.dtype, tensor._version) for tensor in tensors)
        return precision, *versions, *sums

    def train(self, mode: bool = True) -> "VampPrior":
        """As of every module; what was kept is dropped."""
        self._cached = None
        super().train(mode)
        return self

    def _tensors(self) -> Iterator[Tensor]:
        model = self.model
        yield self.pseudo_inputs
        for module in (model.encoder, model.posterior):
            yield from module.parameters()
            yield from module.buffers()
