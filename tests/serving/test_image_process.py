"""The program that decodes image files: jobs go in, and what reading in this process would give comes out."""

import json
import subprocess
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lowerbound.data.images import ImageOptions, read_image_bytes
from lowerbound.data.reading import Limit
from lowerbound.foundation.errors import DataError, TooLarge
from lowerbound.serving.image_decoding import COMMAND
from lowerbound.serving.image_process import READY, DecodingJob, job_header, raw_of, write

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
HUGE = np.zeros((2000, 2000), np.uint8)


def job_of(content, **options):
    return DecodingJob("a.png", content, ImageOptions(limit=Limit(10**6, can_be_raised=False), **options))


def png(pixels):
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def process():
    """The program, once it has said that it is ready."""
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdout.readline() == READY
        yield started
        started.stdin.close()
        assert started.wait(20) == 0  # it ends with its input


def decoded(process, job):
    """What the program makes of a job."""
    write(process.stdin, job_header(job), job.content)
    about = json.loads(process.stdout.readline())
    return raw_of(job, about, process.stdout.read(about["num_bytes"]))


@pytest.mark.parametrize("options", [{}, {"size": (4, 3)}, {"num_channels": 1}, {"size": (9, 9), "resize": "fit"}])
def test_an_image_is_what_reading_it_here_gives(process, options):
    job = job_of(png(PIXELS), **options)
    found, expected = decoded(process, job), read_image_bytes(job.name, job.content, job.options)
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.values.flags.writeable
    for field in ("place", "white", "notes", "resized_to", "is_from_images"):
        assert getattr(found, field) == getattr(expected, field)


@pytest.mark.parametrize(
    ("job", "kind"),
    [
        (job_of(png(PIXELS)[:40]), DataError),
        (job_of(b""), DataError),
        (job_of(png(np.zeros((2000, 2000)) > 0)), TooLarge),
    ],
)
def test_a_refusal_keeps_its_kind_and_words_and_the_next_file_is_read(process, job, kind):
    with pytest.raises(kind) as here:
        read_image_bytes(job.name, job.content, job.options)
    with pytest.raises(kind) as there:
        decoded(process, job)
    assert str(there.value) == str(here.value) and type(there.value) is type(here.value)
    assert decoded(process, job_of(png(PIXELS))).values.shape == (1, 5, 7, 3)
