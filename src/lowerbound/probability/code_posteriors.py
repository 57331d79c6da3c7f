"""Posteriors of discrete codes: vector quantisation (VQ), residual VQ, and finite scalar quantisation (FSQ).

    z_e = encoder(x),   z = the code nearest to z_e,   dz/dz_e := identity (straight-through)

A latent vector is a sequence of positions of `code_dim` numbers, one after another, each of which is quantised.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Generator, Tensor, nn

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.ranges import Range, check_number
from lowerbound.foundation.shares import Rows
from lowerbound.probability.codebooks import VectorCodebook
from lowerbound.probability.codes import NOT_A_CODE, ChosenCodes
from lowerbound.probability.posterior import Posterior
from lowerbound.probability.spaces import TOLERANCE, CodeVectors, Space

CodeDim = Annotated[int, "Length of a code vector; model.latent_dim is a multiple of it."]
CommitmentWeight = Annotated[float, "Of the squared distance between the encoder's output and its code."]
Decay = Annotated[float, "Of the moving averages that code vectors follow, per step."]
LeastUse = Annotated[float, "Use, as a share of the mean one, below which a code is moved; 0 for never."]

NUM_CODES, CODE_DIM, NUM_CODEBOOKS = Range(2.0, 65_536.0), Range(1.0, 4096.0), Range(1.0, 32.0)

SHRINKING = 1e-3
"""Share by which the bounds of FSQ are within the outermost levels, so that rounding never leaves them."""

BEAM = 64
"""Sums of code vectors that the search for the indices of a residual code keeps."""


class CodesPosterior(Posterior):
    """Base of deterministic posteriors whose latents are discrete codes; also the codebook that their priors use."""

    space: CodeVectors
    is_deterministic = True

    @property
    def raw_shape(self) -> tuple[int, ...]:
        return (self.latent_dim,)

    @property
    def num_codes(self) -> int:
        """Values that each index has."""
        return self.space.num_codes

    @property
    def num_positions(self) -> int:
        """Vectors in a latent vector."""
        return self.latent_dim // self.space.code_dim

    @property
    def num_indices(self) -> int:
        """Indices of a code: one for each position, and for each codebook of a residual quantisation."""
        return self.num_positions * self.space.num_codebooks

    def forward(self, raw: Float[Tensor, "*batch raw"]) -> ChosenCodes:
        positions = raw.unflatten(-1, (-1, self.space.code_dim))
        bounded = self.bounded(positions)
        indices = self.quantised(bounded.detach())
        vectors = self.vectors_of(indices.flatten(-2)).to(raw).unflatten(-1, (-1, self.space.code_dim))
        self._see(positions)
        # Exactly the code in the forward pass: the difference is zero, with the gradient of the encoder.
        value = (vectors + (bounded - bounded.detach())).flatten(-2)
        return ChosenCodes(value, indices.flatten(-2), self.commitment(bounded, vectors))

    def bounded(self, positions: Float[Tensor, "*batch position dim"]) -> Float[Tensor, "*batch position dim"]:
        """What is quantised, of the encoder's output."""
        return positions

    @abstractmethod
    def quantised(self, positions: Float[Tensor, "*batch position dim"]) -> Int64[Tensor, "*batch position book"]:
        """The indices of the nearest code of each position."""

    @abstractmethod
    def vectors_of(self, indices: Int64[Tensor, "*batch index"]) -> Float[Tensor, "*batch latent"]:
        """The latents of codes."""

    @abstractmethod
    def indices_of(self, z: Float[Tensor, "*batch latent"]) -> Int64[Tensor, "*batch index"]:
        """The indices of latents; NOT_A_CODE for a position that is not a code vector."""

    def problem(self, z: Float[Tensor, "n latent"]) -> str:
        is_none = (self.indices_of(z) == NOT_A_CODE).unflatten(-1, (self.num_positions, -1)).any(-1)
        if not is_none.any():
            return ""
        example, position = is_none.nonzero()[0].tolist()
        return f"code {example} has no vector of the codebook at position {position}; codes have one at every position"

    @abstractmethod
    def moments(self) -> tuple[Float[Tensor, " latent"], Float[Tensor, " latent"]]:
        """Mean and variance of the latents of uniformly distributed codes."""

    def commitment(
        self, bounded: Float[Tensor, "*batch position dim"], vectors: Float[Tensor, "*batch position dim"]
    ) -> Float[Tensor, "*batch"] | None:
        """What training charges for the distance of the encoder's output from the code, in nats; None if nothing."""
        return None

    def _see(self, positions: Float[Tensor, "*batch position dim"]) -> None:
        """Keep what `update` needs of a batch."""


class VectorQuantisedPosterior(CodesPosterior):
    """The nearest of `num_codes` learned vectors at each position.

    The vectors follow the encoder's outputs as moving averages. Training charges `commitment_weight` ‖z_e - z‖², in
    nats, as if z_e were normal around its code with variance 1 / (2 commitment_weight); the reported ELBO does not
    contain it.

    Source: van den Oord, Vinyals and Kavukcuoglu, "Neural Discrete Representation Learning", arXiv:1711.00937,
    Equation 3 and Appendix A.1.
    """

    space = CodeVectors(512, 64)
    accepted_options: ClassVar[dict[str, Range]] = {
        "num_codes": NUM_CODES,
        "code_dim": CODE_DIM,
        "commitment_weight": Range(0.0, 1e6),
        "decay": Range(0.0, 0.99999),
        "least_use": Range(0.0, 1.0),
    }
    is_updated = True
    codebooks: nn.ModuleList
    is_started: Tensor

    def __init__(
        self,
        latent_dim: int,
        num_codes: Annotated[int, "Code vectors."] = 512,
        code_dim: CodeDim = 64,
        commitment_weight: CommitmentWeight = 0.25,
        decay: Decay = 0.99,
        least_use: LeastUse = 0.1,
    ) -> None:
        self._build(latent_dim, num_codes, code_dim, 1, commitment_weight, decay, least_use)

    def _build(
        self,
        latent_dim: int,
        num_codes: int,
        code_dim: int,
        num_codebooks: int,
        commitment_weight: float,
        decay: float,
        least_use: float,
    ) -> None:
        numbers = {
            "num_codes": num_codes,
            "code_dim": code_dim,
            "num_codebooks": num_codebooks,
            "commitment_weight": commitment_weight,
            "decay": decay,
            "least_use": least_use,
        }
        for name, accepted in self.accepted_options.items():
            check_number(name, numbers[name], accepted)
        self.space = CodeVectors(num_codes, code_dim, num_codebooks)
        super().__init__(latent_dim)
        self.commitment_weight, self.decay, self.least_use = commitment_weight, decay, least_use
        self.codebooks = nn.ModuleList(VectorCodebook(num_codes, code_dim) for _ in range(num_codebooks))
        self.register_buffer("is_started", torch.zeros((), dtype=torch.int64))
        self.__dict__["_seen"] = None

    @classmethod
    def space_with(cls, options: Mapping[str, Any]) -> Space:
        return CodeVectors(options.get("num_codes", 512), options.get("code_dim", 64))

    def initialise(self, generator: Generator) -> None:
        for codebook in self._books:
            codebook.initialise(generator)

    @property
    def _books(self) -> list[VectorCodebook]:
        return [book for book in self.codebooks if isinstance(book, VectorCodebook)]

    def quantised(self, positions: Float[Tensor, "*batch position dim"]) -> Int64[Tensor, "*batch position book"]:
        rest, found = positions, []
        for codebook in self._books:
            chosen = codebook.nearest(rest)
            rest = rest - codebook.vectors[chosen].to(rest)
            found.append(chosen)
        return torch.stack(found, -1)

    def vectors_of(self, indices: Int64[Tensor, "*batch index"]) -> Float[Tensor, "*batch latent"]:
        books = self._books
        by_position = indices.to(books[0].vectors.device).unflatten(-1, (-1, len(books)))
        vectors = books[0].vectors[by_position[..., 0]]
        for number, codebook in enumerate(books[1:], start=1):
            vectors = vectors + codebook.vectors[by_position[..., number]]
        return vectors.flatten(-2)

    def indices_of(self, z: Float[Tensor, "*batch latent"]) -> Int64[Tensor, "*batch index"]:
        positions = z.unflatten(-1, (-1, self.space.code_dim))
        flat = positions.detach().reshape(-1, self.space.code_dim).to(self._books[0].vectors)
        indices = self._books[0].nearest(flat).unsqueeze(-1) if len(self._books) == 1 else self._searched(flat)
        vectors = self.vectors_of(indices)
        # Relative to the codebook's scale: codes may have been rounded to a few digits.
        scale = self._books[0].vectors.square().mean().sqrt()
        is_code = (flat - vectors).abs().amax(-1) <= TOLERANCE * scale.clamp(min=1e-12)
        return indices.masked_fill(~is_code.unsqueeze(-1), NOT_A_CODE).reshape(*z.shape[:-1], self.num_indices)

    def _searched(self, points: Float[Tensor, "point dim"]) -> Int64[Tensor, "point book"]:
        """Indices whose sum of vectors is nearest, by a beam search over the codebooks.

        Choosing the nearest vector of each codebook in turn, as an encoder does, may miss the sum that a code is.
        """
        return torch.cat([self._searched_part(part) for part in points.split(1024)])

    def _searched_part(self, points: Float[Tensor, "point dim"]) -> Int64[Tensor, "point book"]:
        rests = points.unsqueeze(1)  # point beam dim
        found = torch.zeros(len(points), 1, 0, dtype=torch.int64, device=points.device)
        for codebook in self._books:
            left = torch.cdist(rests, codebook.vectors.expand(len(points), -1, -1)).flatten(1)
            best = left.topk(min(BEAM, left.shape[1]), largest=False).indices
            beam, code = best // self.num_codes, best % self.num_codes
            rests = rests.take_along_dim(beam.unsqueeze(-1), 1) - codebook.vectors[code]
            found = torch.cat([found.take_along_dim(beam.unsqueeze(-1), 1), code.unsqueeze(-1)], -1)
        return found[:, 0]

    def moments(self) -> tuple[Float[Tensor, " latent"], Float[Tensor, " latent"]]:
        mean = torch.stack([book.vectors.mean(0) for book in self._books]).sum(0)
        variance = torch.stack([book.vectors.var(0, correction=0) for book in self._books]).sum(0)
        return mean.repeat(self.num_positions), variance.repeat(self.num_positions)

    def commitment(
        self, bounded: Float[Tensor, "*batch position dim"], vectors: Float[Tensor, "*batch position dim"]
    ) -> Float[Tensor, "*batch"]:
        squared = (bounded - vectors).square().flatten(-2).sum(-1, dtype=torch.float64)
        return self.commitment_weight * squared

    def _see(self, positions: Float[Tensor, "*batch position dim"]) -> None:
        if self.training and torch.is_grad_enabled():
            self.__dict__["_seen"] = positions.detach().flatten(0, -2)

    @torch.no_grad()
    def start(self, raw: Float[Tensor, "batch raw"], generator: Generator, batch_size: int) -> None:
        """Move the code vectors to cluster centres of encoder outputs, unless training has begun already."""
        if self.is_started:
            return
        rest = raw.reshape(-1, self.space.code_dim).float()
        for codebook in self._books:
            codebook.start(rest, generator, batch_size * self.num_positions)
            rest = rest - codebook.vectors[codebook.nearest(rest)]
        self.is_started.fill_(1)

    @torch.no_grad()
    def update(self, generator: Generator, rows: Rows | None = None) -> None:
        """Move the code vectors by the last batch that was seen in training; without one, do nothing."""
        rest = self.__dict__["_seen"]
        if rest is None:
            return
        rest = rest.float()
        self.__dict__["_seen"] = None
        num = len(rest) if rows is None else len(rest) // (rows.stop - rows.start) * rows.size
        for codebook in self._books:
            chosen = codebook.vectors[codebook.nearest(rest)]
            codebook.update(rest, rows, generator, self.decay, self.least_use * num / self.num_codes)
            rest = rest - chosen


class ResidualVectorQuantisedPosterior(VectorQuantisedPosterior):
    """A sum of vectors of several codebooks at each position: every codebook quantises what the earlier ones left.

    Source: Zeghidour et al., "SoundStream: An End-to-End Neural Audio Codec", arXiv:2107.03312, Section III-C.
    """

    space = CodeVectors(512, 64, 4)
    accepted_options: ClassVar[dict[str, Range]] = {
        **VectorQuantisedPosterior.accepted_options,
        "num_codebooks": NUM_CODEBOOKS,
    }

    def __init__(
        self,
        latent_dim: int,
        num_codes: Annotated[int, "Vectors of each codebook."] = 512,
        code_dim: CodeDim = 64,
        num_codebooks: Annotated[int, "Codebooks, one after another."] = 4,
        commitment_weight: CommitmentWeight = 0.25,
        decay: Decay = 0.99,
        least_use: LeastUse = 0.1,
    ) -> None:
        self._build(latent_dim, num_codes, code_dim, num_codebooks, commitment_weight, decay, least_use)

    @classmethod
    def space_with(cls, options: Mapping[str, Any]) -> Space:
        return CodeVectors(options.get("num_codes", 512), options.get("code_dim", 64), options.get("num_codebooks", 4))


class FiniteScalarPosterior(CodesPosterior):
    """Each number of a position rounded to one of a few levels, evenly spaced in [-1, 1]; the code is their product.

    Level i of L is 2i / (L - 1) - 1. The encoder's output passes a tanh, and for even L the rounding is shifted by half
    a level, so that 0 is between two levels. There is no commitment, and nothing to update.

    Source: Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple", arXiv:2309.15505, Section 3.
    """

    space = CodeVectors(1000, 4)
    is_updated = False
    num_levels: Tensor
    place_values: Tensor

    def __init__(
        self, latent_dim: int, levels: Annotated[str, 'Levels of each number of a code, such as "8,5,5,5".'] = "8,5,5,5"
    ) -> None:
        numbers = levels_of(levels)
        self.space = CodeVectors(math.prod(numbers), len(numbers))
        super().__init__(latent_dim)
        place_values = [math.prod(numbers[:place]) for place in range(len(numbers))]
        self.register_buffer("num_levels", torch.tensor(numbers), persistent=False)
        self.register_buffer("place_values", torch.tensor(place_values), persistent=False)

    @classmethod
    def space_with(cls, options: Mapping[str, Any]) -> Space:
        numbers = levels_of(options.get("levels", "8,5,5,5"))
        return CodeVectors(math.prod(numbers), len(numbers))

    @property
    def _half(self) -> Float[Tensor, " dim"]:
        return (self.num_levels - 1) / 2

    def bounded(self, positions: Float[Tensor, "*batch position dim"]) -> Float[Tensor, "*batch position dim"]:
        return positions.tanh() * (1 - SHRINKING)

    def quantised(self, positions: Float[Tensor, "*batch position dim"]) -> Int64[Tensor, "*batch position book"]:
        digits = (positions * self._half + self._half).round().long()
        return (digits * self.place_values).sum(-1, keepdim=True)

    def vectors_of(self, indices: Int64[Tensor, "*batch index"]) -> Float[Tensor, "*batch latent"]:
        digits = indices.to(self.place_values.device).unsqueeze(-1) // self.place_values % self.num_levels
        return (digits / self._half - 1).flatten(-2)

    def indices_of(self, z: Float[Tensor, "*batch latent"]) -> Int64[Tensor, "*batch index"]:
        positions = z.detach().unflatten(-1, (-1, self.space.code_dim)).to(self._half)
        indices = self.quantised(positions.clamp(-1, 1))
        vectors = self.vectors_of(indices.flatten(-2)).unflatten(-1, (-1, self.space.code_dim))
        is_code = (positions - vectors).abs().amax(-1, keepdim=True) <= TOLERANCE
        return indices.masked_fill(~is_code, NOT_A_CODE).flatten(-2)

    def moments(self) -> tuple[Float[Tensor, " latent"], Float[Tensor, " latent"]]:
        """Mean and variance of uniform levels: 0 and (L + 1) / (3 (L - 1))."""
        variance = (self.num_levels + 1) / (3 * (self.num_levels - 1))
        return torch.zeros_like(variance).repeat(self.num_positions), variance.repeat(self.num_positions)


def levels_of(text: str) -> tuple[int, ...]:
    """Numbers of levels, from text such as "8,5,5,5"; ConfigError for anything else."""
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except (AttributeError, ValueError):
        numbers = ()
    if not numbers or min(numbers) < 2 or math.prod(numbers) > NUM_CODES.most:
        raise ConfigError(
            f"model.posterior_options.levels is {text!r}; it needs numbers of at least 2, with commas between, such "
            f'as "8,5,5,5", whose product is at most {NUM_CODES.most:,.0f}.'
        )
    return numbers
