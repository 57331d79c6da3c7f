"""AutoregressivePrior: a learned distribution of codes, log p(c) = Σ_i log p(c_i | c_1 ... c_(i-1)), by a transformer.

Indices are taken in order of position, row by row on a grid, and of codebooks within a position. At first every code
has the same probability.

Source: van den Oord et al., arXiv:1711.00937, Section 3.3 (a prior fitted to the codes of a trained model, there a
PixelCNN); the network, Vaswani et al., arXiv:1706.03762, with the normalisation before each layer of Radford et al.,
"Language Models are Unsupervised Multitask Learners", 2019.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float, Float64, Int64
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.ranges import Range, check_number
from lowerbound.foundation.seeding import generator as named_generator
from lowerbound.probability.code_priors import SIZES, CodeDim, CodesPrior, NumCodebooks, NumCodes
from lowerbound.probability.codes import Codebook, CodeDistribution

HEAD_SIZE = 32
BLOCK = 64
"""Codes that are drawn together: products of matrices of another size could differ in the last bits."""

TOKENS_AT_ONCE = 16_384
NUM_FIXED_DRAWS = 1024
"""Draws from which mean and variance are computed."""

Cache = list[tuple[Float[Tensor, "batch head _ size"], Float[Tensor, "batch head _ size"]]]
"""Keys and values of the earlier positions, for each layer."""


class CodeTransformer(nn.Module):
    """Logits of every index given the earlier ones, by causal self-attention."""

    def __init__(self, num_indices: int, num_codes: int, hidden: int, num_layers: int) -> None:
        super().__init__()
        self.num_indices, self.num_codes = num_indices, num_codes
        self.token = nn.Embedding(num_codes + 1, hidden)  # the last one starts a sequence
        self.position = nn.Embedding(num_indices, hidden)
        self.layers = nn.ModuleList(_Layer(hidden) for _ in range(num_layers))
        self.norm = nn.LayerNorm(hidden)
        self.output = nn.Linear(hidden, num_codes)

    @torch.no_grad()
    def initialise(self, generator: Generator) -> None:
        """Small normal weights; those of the output are zero, so that every code has the same probability."""
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1 and not name.startswith("output"):
                parameter.copy_(0.02 * torch.randn(parameter.shape, generator=generator))
            else:
                parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)

    def forward(self, indices: Int64[Tensor, "batch index"]) -> Float[Tensor, "batch index code"]:
        """The logits of all indices in one pass."""
        start = indices.new_full((len(indices), 1), self.num_codes)
        return self.next(torch.cat([start, indices[:, :-1]], 1), 0, None)

    def next(
        self, tokens: Int64[Tensor, "batch new"], first: int, cache: Cache | None
    ) -> Float[Tensor, "batch new code"]:
        """The logits that follow the tokens at positions `first` and later; keys and values are added to the cache."""
        hidden = self.token(tokens) + self.position.weight[first : first + tokens.shape[1]]
        for number, layer in enumerate(self.layers):
            hidden = layer(hidden, cache, number)
        logits: Tensor = self.output(self.norm(hidden))
        return logits


class _Layer(nn.Module):
    """Attention to earlier positions, then a dense layer of each position, both added to the input."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.num_heads = hidden // HEAD_SIZE
        self.attention_norm, self.dense_norm = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.projection = nn.Linear(hidden, 3 * hidden)
        self.merged = nn.Linear(hidden, hidden)
        self.up, self.down = nn.Linear(hidden, 4 * hidden), nn.Linear(4 * hidden, hidden)

    def forward(
        self, hidden: Float[Tensor, "batch new hidden"], cache: Cache | None, number: int
    ) -> Float[Tensor, "batch new hidden"]:
        parts = self.projection(self.attention_norm(hidden)).chunk(3, -1)
        query, key, value = (part.unflatten(-1, (self.num_heads, HEAD_SIZE)).transpose(1, 2) for part in parts)
        if cache is not None:
            if number < len(cache):
                earlier_key, earlier_value = cache[number]
                key, value = torch.cat([earlier_key, key], 2), torch.cat([earlier_value, value], 2)
                cache[number] = key, value
            else:
                cache.append((key, value))
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=query.shape[2] > 1)
        hidden = hidden + self.merged(attended.transpose(1, 2).flatten(2))
        dense: Tensor = self.down(F.gelu(self.up(self.dense_norm(hidden))))
        return hidden + dense


@dataclass(frozen=True, eq=False)
class AutoregressiveCodes(CodeDistribution):
    """Codes whose indices are drawn one after another."""

    codebook: Codebook
    network: CodeTransformer
    temperature: float = 1.0  # of draws and probabilities: divides the logits
    event_ndim: int = 1

    @property
    def mean(self) -> Float[Tensor, " latent"]:
        """The mean of fixed draws."""
        return self._fixed_draws().mean(0)

    @property
    def variance(self) -> Float[Tensor, " latent"]:
        """The variance of fixed draws."""
        return self._fixed_draws().var(0)

    def _fixed_draws(self) -> Float[Tensor, "draw latent"]:
        device = self.network.output.weight.device
        return self.sample(named_generator(0, "moments of codes", device), NUM_FIXED_DRAWS)

    def log_prob_of_indices(self, indices: Int64[Tensor, "*batch index"]) -> Float64[Tensor, "*batch"]:
        flat = indices.reshape(-1, indices.shape[-1])
        parts = flat.split(max(1, TOKENS_AT_ONCE // indices.shape[-1]))
        found = torch.cat([self._log_prob_of_part(part) for part in parts]) if len(flat) else flat.sum(-1).double()
        return found.reshape(indices.shape[:-1])

    def _log_prob_of_part(self, indices: Int64[Tensor, "batch index"]) -> Float64[Tensor, " batch"]:
        logits = self.network(indices) / self.temperature
        losses = F.cross_entropy(logits.flatten(0, 1), indices.flatten(), reduction="none")
        return -losses.unflatten(0, indices.shape).sum(-1, dtype=torch.float64)

    @torch.no_grad()
    def draw_indices(self, generator: Generator, num_samples: int) -> Int64[Tensor, "sample index"]:
        """Independent codes; the first of a stream are the same however many follow."""
        num_indices, device = self.codebook.num_indices, self.network.output.weight.device
        uniform = [torch.rand(num_indices, generator=generator, device=generator.device) for _ in range(num_samples)]
        if not uniform:
            return torch.zeros(0, num_indices, dtype=torch.int64, device=device)
        return torch.cat([self._block(part) for part in torch.stack(uniform).to(device).split(BLOCK)])

    def _block(self, uniform: Float[Tensor, "sample index"]) -> Int64[Tensor, "sample index"]:
        num = len(uniform)
        uniform = F.pad(uniform, (0, 0, 0, BLOCK - num))
        tokens = torch.full((BLOCK, 1), self.network.num_codes, device=uniform.device)
        cache: Cache = []
        found = []
        for place in range(uniform.shape[1]):
            logits = self.network.next(tokens, place, cache)[:, 0] / self.temperature
            tokens = drawn(logits, uniform[:, place])
            found.append(tokens)
        return torch.cat(found, 1)[:num]


def drawn(logits: Float[Tensor, "batch code"], uniform: Float[Tensor, " batch"]) -> Int64[Tensor, "batch 1"]:
    """The category whose interval of the cumulative probability contains a uniform number."""
    cumulative = logits.double().softmax(-1).cumsum(-1)
    found = torch.searchsorted(cumulative, uniform.double().unsqueeze(-1).contiguous(), right=True)
    return found.clamp(max=logits.shape[-1] - 1)


class AutoregressivePrior(CodesPrior):
    """A causal transformer over indices; the temperature divides the logits of draws."""

    accepted_options: ClassVar[dict[str, Range]] = {
        **SIZES,
        "hidden": Range(32.0, 2048.0),
        "num_layers": Range(1.0, 48.0),
    }

    def __init__(
        self,
        latent_dim: int,
        num_codes: NumCodes = 512,
        code_dim: CodeDim = 64,
        num_codebooks: NumCodebooks = 1,
        hidden: Annotated[int, "Width of the transformer, a multiple of 32."] = 64,
        num_layers: Annotated[int, "Layers of the transformer."] = 2,
    ) -> None:
        super().__init__(latent_dim, num_codes, code_dim, num_codebooks)
        for name, value in (("hidden", hidden), ("num_layers", num_layers)):
            check_number(name, value, self.accepted_options[name])
        if hidden % HEAD_SIZE:
            nearest = max(1, round(hidden / HEAD_SIZE)) * HEAD_SIZE
            raise ConfigError(
                f"prior 'autoregressive' needs model.prior_options.hidden to be a multiple of {HEAD_SIZE}, got "
                f"{hidden}; set it to {nearest}."
            )
        self.network = CodeTransformer(self.num_indices, num_codes, hidden, num_layers)
        self.initialise(named_generator(0, "autoregressive prior"))

    def initialise(self, generator: Generator) -> None:
        self.network.initialise(generator)

    def forward(self) -> AutoregressiveCodes:
        return AutoregressiveCodes(self.codebook, self.network)

    def family(self) -> AutoregressiveCodes:
        return AutoregressiveCodes(self.__dict__["_codebook"], self.network)

    def log_prob_of_indices(self, indices: Int64[Tensor, "*batch index"]) -> Float64[Tensor, "*batch"]:
        """log p(c) in nats; it needs no codebook."""
        return self.family().log_prob_of_indices(indices)

    def sample(self, generator: Generator, num: int, temperature: float = 1.0) -> Float[Tensor, "num latent"]:
        if not temperature > 0:
            raise ConfigError(f"prior 'autoregressive' needs a temperature above 0, got {temperature:g}.")
        return AutoregressiveCodes(self.codebook, self.network, temperature).sample(generator, num)
