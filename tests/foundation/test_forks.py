"""Forked processes have one thread, and their parent keeps its own."""

import multiprocessing

import torch

from lowerbound.foundation import forks


def test_a_forked_process_computes_with_one_thread(monkeypatch):
    before = torch.get_num_threads()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(torch.get_num_threads).get(30) == 1
    assert torch.get_num_threads() == before
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    forks.use_one_thread()
    assert asked == [1]
