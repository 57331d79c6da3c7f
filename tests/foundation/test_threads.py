"""torch computes with one thread inside, and with as many as before afterwards, whatever happens."""

import pytest
import torch

from lowerbound.foundation.threads import one_thread


def test_the_number_of_threads_comes_back():
    before = torch.get_num_threads()
    with pytest.raises(ValueError, match="stop"), one_thread():
        assert torch.get_num_threads() == 1
        raise ValueError("stop")
    assert torch.get_num_threads() == before
