"""The picture of bits: each pixel's are −log2 p(x|z) over draws of z, and only images have one."""

import numpy as np
import pytest
import torch
from PIL import Image

from coded_arrays import coded_run
from lowerbound.compression import bit_picture
from lowerbound.compression.bit_picture import write_bit_picture
from lowerbound.compression.stored_levels import levels_of
from lowerbound.foundation.errors import UsageError


def test_bits_of_pixels_and_of_z_are_distortion_and_rate(tmp_path, monkeypatch):
    trained, values = coded_run(tmp_path / "run", "mixture of logistics")
    levels, _ = levels_of(trained.examples(values), trained.vae, trained.schema, values)
    drawn = []
    figure = bit_picture.bit_figure
    monkeypatch.setattr(bit_picture, "bit_figure", lambda *parts: drawn.append(parts) or figure(*parts))
    path = write_bit_picture(trained.vae, levels, tmp_path / "bits.png")
    assert Image.open(path).format == "PNG"
    ((images, bits, rate),) = drawn
    np.testing.assert_array_equal(images, values[:10])
    x = torch.from_numpy(np.moveaxis(values[:10], -1, 1) / 255)
    model = trained.vae.double()
    posterior = model.encode(x)
    z = posterior.mean + posterior.standard_deviation * torch.randn(400, 10, 3, generator=torch.manual_seed(0))
    distortion = (
        -model.likelihood(model.decoder(z.flatten(0, 1))).log_prob(x.repeat(400, 1, 1, 1)).view(400, 10).mean(0)
    )
    np.testing.assert_allclose(bits.sum((1, 2)), distortion.detach() / np.log(2), rtol=0.05)
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(posterior.mean, posterior.standard_deviation), torch.distributions.Normal(0.0, 1.0)
    ).sum(1)
    np.testing.assert_allclose(rate, expected.detach() / np.log(2), atol=0.01)


def test_data_that_are_no_images_have_no_picture(tmp_path):
    trained, values = coded_run(tmp_path / "run", "poisson")
    with pytest.raises(UsageError, match="for images of one or three channels"):
        write_bit_picture(trained.vae, values, tmp_path / "bits.png")
