"""Image files from somebody else are decoded in processes that can be ended: nobody else has to wait for them."""

import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import httpx
import numpy as np
import pytest
from PIL import Image

from hostile_files import IMAGES
from hostile_images import black_png, exif_png, tiff_frames, tiff_tiles
from lowerbound.data.images import ImageOptions, read_image_bytes
from lowerbound.foundation.errors import DataError, TooLarge
from lowerbound.serving import image_decoding as decoding
from lowerbound.serving.image_decoding import MAX_PIXELS, Decoders, limit_of_pixels
from lowerbound.serving.service.limits import Limits
from served_models import application, digits, running

OPTIONS = ImageOptions(size=(8, 8), num_channels=1, limit=limit_of_pixels(MAX_PIXELS))
BUSY = "import sys, time; print('ready', flush=True); sys.stdin.buffer.readline(); time.sleep(600)"
STUCK = (sys.executable, "-c", BUSY)


def png(seed=0, side=12):
    file = BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def decoders():
    made = Decoders()
    yield made
    made.close()


def slow_tiff():
    """An image that keeps Pillow busy for seconds: as many tiles as are accepted, each decoded by itself."""
    return tiff_tiles(32_000)


def test_another_process_decodes_as_this_one_does(decoders):
    deep = BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000).save(deep, "PNG")
    for content in (png(), deep.getvalue(), exif_png(3), tiff_frames(5)):
        options = ImageOptions(size=(8, 8), limit=OPTIONS.limit)
        here, there = read_image_bytes("x", content, options), decoders.decode("x", content, options)
        np.testing.assert_array_equal(here.values, there.values)
        assert here.values.dtype == there.values.dtype and there.is_from_images
        assert (here.notes, here.white, here.resized_to) == (there.notes, there.white, there.resized_to)


def test_refusals_cross_the_border_with_their_kind(decoders):
    with pytest.raises(TooLarge, match="the limit is 16,000,000 in all; send a smaller request"):
        decoders.decode("the body", black_png(20), OPTIONS)
    with pytest.raises(TooLarge, match="tiles"):
        decoders.decode("the body", tiff_tiles(40_000), OPTIONS)
    with pytest.raises(DataError, match="is not a PNG"):
        decoders.decode("the body", b"nothing", OPTIONS)
    assert decoders.decode("the body", png(), OPTIONS).values.shape == (1, 8, 8, 1)


def test_a_file_that_takes_too_long_is_refused_and_its_process_is_gone(monkeypatch):
    monkeypatch.setattr(decoding, "COMMAND", STUCK)
    decoders = Decoders(max_seconds=0.3, num_processes=1)
    started = []
    popen = decoding.subprocess.Popen
    monkeypatch.setattr(
        decoding.subprocess, "Popen", lambda *args, **options: started.append(popen(*args, **options)) or started[-1]
    )
    with pytest.raises(DataError, match=r"the body takes longer than 0.3 s to decode"):
        decoders.decode("the body", png(), OPTIONS)
    assert len(started) == 1 and started[0].poll() is not None
    monkeypatch.undo()
    decoders.max_seconds = 60.0
    assert decoders.decode("the body", png(), OPTIONS).values.shape == (1, 8, 8, 1)
    decoders.close()


@pytest.mark.skipif(sys.platform == "win32", reason="the signal is Unix's")
def test_a_decoder_that_crashes_takes_nothing_with_it(decoders):
    decoders.decode("x", png(), OPTIONS)
    process = decoders.idle.get()
    while process is None:
        process = decoders.idle.get()
    stop = threading.Timer(0.3, os.kill, (process.popen.pid, signal.SIGSEGV))
    os.kill(process.popen.pid, signal.SIGSTOP)
    stop.start()
    decoders.idle = type(decoders.idle)()
    decoders.idle.put(process)
    decoders.num_processes = 1
    threading.Timer(0.5, os.kill, (process.popen.pid, signal.SIGCONT)).start()
    with pytest.raises(DataError, match="the body cannot be decoded"):
        decoders.decode("the body", png(), OPTIONS)
    assert decoders.decode("the body", png(), OPTIONS).values.shape == (1, 8, 8, 1)


def test_images_of_others_are_answered_while_and_after_one_is_stuck():
    content, limits = slow_tiff(), Limits(max_decoding=1.0)
    with running(application(digits(), limits=limits)) as url, httpx.Client(base_url=url, timeout=60) as client:
        assert client.post("/encode", content=png()).status_code == 200
        with ThreadPoolExecutor(1) as other:
            stuck = other.submit(httpx.post, f"{url}/encode", content=content, timeout=60)
            while not stuck.done():
                assert client.post("/encode", content=png(1)).status_code == 200
                time.sleep(0.05)
        answer = stuck.result()
        if answer.status_code != 200:  # a machine that decodes it in a second is fast enough
            assert (answer.status_code, answer.json()["error"]) == (422, ANSWER)
        for seed in range(3):
            assert client.post("/encode", content=png(seed)).status_code == 200


ANSWER = "the body takes longer than 1 s to decode; send another file."


@pytest.mark.parametrize("kind", [one.name for one in IMAGES])
def test_every_hostile_image_is_answered_by_the_service_and_the_next_one_too(kind, hostile_service, tmp_path):
    hostile = next(one for one in IMAGES if one.name == kind)
    content = hostile.write(tmp_path, hostile.small if "pixels" not in kind else 20).read_bytes()
    answer = hostile_service.post("/encode", content=content)
    assert answer.status_code in (200, 413, 422)
    assert (answer.status_code == 413) == (kind in ("tiles.tif", "pixels.png", "more-pixels.png"))
    assert "\n" not in answer.json().get("error", "")
    assert hostile_service.post("/encode", content=png()).status_code == 200


@pytest.fixture(scope="module")
def hostile_service():
    with running(application(digits())) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


@pytest.mark.parametrize(("make", "status"), [(lambda: black_png(20), 413), (lambda: tiff_tiles(40_000), 413)])
def test_the_explorer_has_the_same_limits(client, make, status):
    answer = client.post("/api/runs/digits/encode", content=make())
    assert answer.status_code == status and "the limit is" in answer.json()["error"]
    assert client.post("/api/runs/digits/encode", content=png()).status_code == 200


def test_decoders_that_are_closed_wait_for_nothing_and_can_be_used_again(monkeypatch):
    decoders = Decoders(num_processes=1)
    monkeypatch.setattr(decoding, "COMMAND", STUCK)
    refusals = []

    def decode_and_wait():
        with pytest.raises(DataError) as refused:
            decoders.decode("the body", png(), OPTIONS)
        refusals.append(str(refused.value))

    thread = threading.Thread(target=decode_and_wait)
    thread.start()
    while not any(process.is_ready for process in decoders.started):
        time.sleep(0.01)
    decoders.close()
    thread.join(10)
    assert refusals == ["the body cannot be decoded; send another file."]
    decoders.close()
    monkeypatch.undo()
    assert decoders.decode("the body", png(), OPTIONS).values.shape == (1, 8, 8, 1)
    decoders.close()
