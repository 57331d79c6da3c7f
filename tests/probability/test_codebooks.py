"""Codebooks: k-means finds distinct points, moving averages are those of numpy, revival lasts, ranks agree."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from lowerbound.foundation import distributed
from lowerbound.foundation.seeding import generator
from lowerbound.foundation.shares import Share
from lowerbound.probability.codebooks import VectorCodebook, k_means, nearest

pytestmark = pytest.mark.usefixtures("float64")


def points(num, dim=3, seed=0):
    return torch.randn(num, dim, generator=generator(seed, "points"))


def started(num_codes=4, num=200):
    codebook = VectorCodebook(num_codes, 3)
    codebook.initialise(generator(0, "codebook"))
    codebook.start(points(num), generator(0, "start"), 50)
    return codebook


def test_the_nearest_vector_is_that_of_all_distances():
    vectors = points(7, seed=1)
    assert torch.equal(nearest(points(50), vectors), torch.cdist(points(50), vectors).argmin(-1))


@pytest.mark.parametrize("num_codes", [2, 5, 16])
def test_k_means_of_as_many_distinct_points_as_codes_has_no_error(num_codes):
    distinct = 5 * points(num_codes)
    repeated = distinct.repeat(9, 1)
    centres, sizes = k_means(repeated, num_codes, generator(0, "k-means"))
    assert_close(centres[nearest(repeated, centres)], repeated)
    assert_close(sizes, torch.full((num_codes,), 9.0))


def test_k_means_with_more_codes_than_distinct_points_stays_finite():
    centres, sizes = k_means(points(2).repeat(5, 1), 6, generator(0, "k-means"))
    assert centres.isfinite().all()
    assert (sizes > 0).sum() == 2


def test_moving_averages_are_those_of_numpy():
    codebook, batch, decay = started(), points(50, seed=2), 0.9
    counts, sums = codebook.counts.numpy().copy(), codebook.sums.numpy().copy()
    vectors, x = codebook.vectors.numpy().copy(), batch.numpy()
    chosen = ((x[:, None] - vectors[None]) ** 2).sum(-1).argmin(1)
    for code in range(4):
        counts[code] = decay * counts[code] + (1 - decay) * (chosen == code).sum()
        sums[code] = decay * sums[code] + (1 - decay) * x[chosen == code].sum(0)
    codebook.update(batch, None, generator(0, "revival"), decay, 0.0)
    np.testing.assert_allclose(codebook.counts.numpy(), counts)
    np.testing.assert_allclose(codebook.sums.numpy(), sums)
    np.testing.assert_allclose(codebook.vectors.numpy(), sums / counts[:, None])


def test_an_unused_code_is_moved_to_an_output_and_stays_there_in_the_next_step():
    codebook, batch = started(), points(50, seed=2)
    with torch.no_grad():
        codebook.vectors[0], codebook.sums[0], codebook.counts[0] = 1e3, 1e1, 1e-2
    codebook.update(batch, None, generator(0, "revival"), 0.99, 0.1)
    moved = codebook.vectors[0].clone()
    assert (batch == moved).all(-1).any()
    assert_close(codebook.sums[0] / codebook.counts[0], moved)
    codebook.update(batch, None, generator(1, "revival"), 0.99, 0.1)
    assert (codebook.vectors[0] - moved).norm() < 0.2


def test_without_revival_an_unused_code_does_not_move():
    codebook = started()
    with torch.no_grad():
        codebook.vectors[0] = 1e3
        codebook.sums[0], codebook.counts[0] = 1e3 * 1e-6, 1e-6
    codebook.update(points(50, seed=2), None, generator(0, "revival"), 0.99, 0.0)
    assert_close(codebook.vectors[0], torch.full((3,), 1e3))


@pytest.mark.parametrize("size", [2, 9])
@pytest.mark.parametrize("num_ranks", [2, 3])
def test_ranks_move_a_codebook_as_one_process_does(monkeypatch, num_ranks, size):
    batch = points(2 * size, seed=2)  # two positions of each example
    whole, parts = started(), []
    with torch.no_grad():
        whole.counts[1] = 1e-3
    monkeypatch.setattr(distributed, "add_up", lambda tensor: parts.append(tensor) or tensor)
    for rank in range(num_ranks):
        codebook, rows = started(), Share(rank, num_ranks).rows(size)
        codebook.update(batch[2 * rows.start : 2 * rows.stop], rows, generator(0, "revival"), 0.9, 0.5)
    total = torch.stack(parts).sum(0)
    monkeypatch.setattr(distributed, "add_up", lambda tensor: total)
    one, rows = started(), Share(0, num_ranks).rows(size)
    with torch.no_grad():
        one.counts[1] = 1e-3
    one.update(batch[2 * rows.start : 2 * rows.stop], rows, generator(0, "revival"), 0.9, 0.5)
    whole.update(batch, None, generator(0, "revival"), 0.9, 0.5)
    for name, tensor in whole.state_dict().items():
        assert_close(one.state_dict()[name], tensor)
