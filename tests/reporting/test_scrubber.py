"""The frames of training on a page."""

import dataclasses
import re

import numpy as np
import pytest

from lowerbound.reporting import scrubber as module
from lowerbound.reporting.frame_plots import scene_of
from lowerbound.reporting.report import write_report
from lowerbound.reporting.scrubber import MOST_DOTS, scrubber
from parsed_pages import Page
from training_frames import made_frames


@pytest.fixture(scope="module")
def results(make_results):
    return make_results(manifold_sizes=())


def points(dots):
    """The places of the dots of all paths."""
    found = []
    for outline in re.findall(r' d="([^"]*)"', dots):
        found.append(np.cumsum(np.array(re.findall(r"m(-?\d+) (-?\d+)h0", outline), dtype=int), axis=0))
    return np.concatenate(found)


def test_dots_are_at_the_places_of_the_codes(results):
    frames = made_frames(num_labels=0)
    scene = scene_of(results, frames)
    shown = scrubber(results, scene)
    for frame, place in zip(shown.frames, scene.places, strict=True):
        share = (place - scene.low) / (scene.high - scene.low)
        expected = 1000 * np.stack([share[:, 0], 1 - share[:, 1]], axis=1)
        np.testing.assert_allclose(points(frame.dots), expected, atol=0.51)


def test_of_many_codes_some_are_shown_in_the_colours_of_their_labels(results):
    frames = made_frames(num_codes=2 * MOST_DOTS)
    shown = scrubber(results, scene_of(results, frames)).frames[0]
    assert len(points(shown.dots)) == MOST_DOTS
    assert len(re.findall(r'stroke="var\(--[0-9a-f]{6}\)"', shown.dots)) == 10


@pytest.fixture
def framed(results, tmp_path, monkeypatch):
    def written(frames):
        monkeypatch.setattr("lowerbound.reporting.report.read_frames", lambda run: frames)
        return Page(write_report(results, tmp_path))

    return written


def test_every_frame_has_a_button_that_shows_it_and_no_script(framed):
    page = framed(made_frames())
    buttons = [entry for entry in page.all("input") if entry["type"] == "radio"]
    assert [button["id"] for button in buttons] == ["frame-0", "frame-1", "frame-2", "frame-3", "play"]
    assert [entry["for"] for entry in page.all("label")] == [button["id"] for button in buttons]
    assert ["checked" in button for button in buttons] == [False, False, False, True, False]
    for number in range(4):
        assert f"#frame-{number}:checked ~ .stage .frame:nth-child({number + 1})" in page.source
    assert "0 epoch 2 epoch 4 epoch 6 kept ▶ play" in page.text
    assert page.all("script") == []
    assert page.source.count('class="frame"') == 4 == len(page.all("img"))


def test_data_that_are_not_images_have_codes_alone(framed):
    page = framed(made_frames(kind="none"))
    assert page.all("img") == []
    assert "On the right" not in page.text


def test_a_run_without_frames_has_no_scrubber_and_says_why(framed):
    page = framed(())
    assert page.all("input") == []
    assert "Training, epoch by epoch: no codes were kept while the model trained" in page.text


def test_the_codes_of_one_latent_have_one_range(make_results):
    shown = scrubber(make_results(latent_dim=1), scene_of(make_results(latent_dim=1), made_frames(latent_dim=1)))
    assert shown.ranges.startswith("z₁ from ") and ";" not in shown.ranges


def test_pictures_that_are_large_have_less_quality_but_all_are_there(results, monkeypatch):
    noise = np.random.default_rng(0)
    frames = tuple(
        dataclasses.replace(frame, pictures=noise.integers(0, 255, (9, 64, 64, 3)).astype(np.uint8))
        for frame in made_frames()
    )
    sizes = []
    for most in (10_000_000, 60_000):
        monkeypatch.setattr(module, "MOST_BYTES", most)
        shown = scrubber(results, scene_of(results, frames)).frames
        assert all(frame.picture.startswith("data:image/webp;base64,") for frame in shown)
        sizes.append(sum(len(frame.picture) for frame in shown))
    assert sizes[1] < sizes[0] / 2
