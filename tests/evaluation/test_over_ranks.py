"""Measurements divided among ranks; that several ranks agree with one is tested with inference/shards."""

import torch

from lowerbound.evaluation.over_ranks import divided, over_ranks
from lowerbound.foundation import distributed
from lowerbound.foundation.shares import Share


def measured(examples):
    return (torch.from_numpy(examples.values.reshape(len(examples), -1).sum(1).astype("float64")),)


def test_outside_of_an_evaluation_together_each_rank_measures_everything(digits, monkeypatch):
    monkeypatch.setattr(distributed, "share", lambda: Share(1, 3))
    (found,) = over_ranks(digits.test, measured)
    assert len(found) == 60


def test_ranks_measure_their_share_and_gather_the_rest(digits, monkeypatch):
    parts = []
    monkeypatch.setattr(distributed, "gathered", lambda rows: parts.append(rows) or rows)
    with divided():
        for rank in range(7):
            monkeypatch.setattr(distributed, "share", lambda rank=rank: Share(rank, 7))
            over_ranks(digits.test, measured)
    torch.testing.assert_close(torch.cat(parts), measured(digits.test)[0], rtol=0, atol=0)


def test_fewer_examples_than_ranks_are_measured_by_each(digits, monkeypatch):
    monkeypatch.setattr(distributed, "share", lambda: Share(2, 100))
    with divided():
        assert len(over_ranks(digits.test, measured)[0]) == 60
