"""The picture of bits is a PNG of the first images, and only images have one."""

import pytest
from PIL import Image

from coded_arrays import coded_run
from lowerbound.compression.bit_picture import write_bit_picture
from lowerbound.compression.codec import compress
from lowerbound.compression.stored_levels import levels_of
from lowerbound.foundation.errors import UsageError


def test_the_first_images_are_drawn(tmp_path):
    trained, values = coded_run(tmp_path / "run", "mixture of logistics")
    levels, _ = levels_of(trained.examples(values), trained.vae, trained.schema, values)
    picture = Image.open(write_bit_picture(trained.vae, levels, tmp_path / "bits.png"))
    assert picture.format == "PNG"


def test_data_that_are_no_images_have_no_picture(tmp_path):
    trained, values = coded_run(tmp_path / "run", "poisson")
    with pytest.raises(UsageError, match="for images of one or three channels"):
        write_bit_picture(trained.vae, values, tmp_path / "bits.png")


def test_a_picture_overwrites_nothing(tmp_path):
    _, values = coded_run(tmp_path / "run", "mixture of logistics")
    (tmp_path / "old.png").write_bytes(b"mine")
    for name, reason in (
        ("old.png", "exists already"),
        ("x.csv", "written as .png"),
        ("x.lb.png", "both the compressed"),
    ):
        with pytest.raises(UsageError, match=reason):
            compress(tmp_path / "run", values, tmp_path / "x.lb.png", picture=tmp_path / name)
    assert (tmp_path / "old.png").read_bytes() == b"mine" and not (tmp_path / "x.lb.png").exists()
