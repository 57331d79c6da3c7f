"""Operators that ONNX lacks, put together from others, have the digits of torch's."""

import torch
from torch.nn import functional as F
from torch.testing import assert_close

from lowerbound.networks.onnx_operators import binary_cross_entropy, exp_minus_one, log_gamma, log_one_plus


def test_what_stands_in_for_torchs_operators_has_their_digits():
    x = torch.logspace(-6, 6, 2000, dtype=torch.float64)
    assert_close(log_gamma(x), torch.lgamma(x), rtol=1e-12, atol=1e-12)
    t = torch.linspace(-120, 120, 4001)
    target = torch.linspace(0, 1, 4001)
    expected = F.binary_cross_entropy_with_logits(t.double(), target.double(), reduction="none")
    assert_close(binary_cross_entropy(t, target).double(), expected, rtol=1e-6, atol=1e-5)
    near_zero = torch.logspace(-7, 0, 200)
    assert_close(exp_minus_one(-near_zero), torch.expm1(-near_zero), rtol=1e-6, atol=0)
    assert_close(log_one_plus(near_zero), torch.log1p(near_zero), rtol=1e-6, atol=0)
