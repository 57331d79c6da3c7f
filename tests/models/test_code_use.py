"""Use of codes from counts: shares and perplexities that are known."""

import pytest
import torch

from lowerbound.models.code_use import CodeUse, count_uses, no_uses
from lowerbound.probability.code_posteriors import ResidualVectorQuantisedPosterior
from lowerbound.probability.codes import ChosenCodes


def test_even_use_of_half_of_the_codes_has_half_their_number_as_perplexity():
    use = CodeUse.of(torch.tensor([[3.0, 0, 3, 0, 3, 0]]).double())
    assert use.share == 0.5
    assert use.perplexity == pytest.approx(3)


def test_the_perplexity_of_several_codebooks_is_the_geometric_mean():
    assert CodeUse.of(torch.tensor([[1.0, 0], [1, 1]]).double()).perplexity == pytest.approx(2**0.5)


def test_uses_are_counted_for_every_codebook():
    posterior = ResidualVectorQuantisedPosterior(6, num_codes=4, code_dim=3, num_codebooks=2)
    uses = no_uses(posterior)
    indices = torch.tensor([[0, 1, 0, 3], [2, 3, 0, 3]])  # position after position, and book after book
    count_uses(uses, ChosenCodes(torch.zeros(2, 6), indices))
    assert uses.tolist() == [[3, 0, 1, 0], [0, 1, 0, 3]]
