"""Frames of training in the plane."""

from dataclasses import replace

import numpy as np
import pytest

from lowerbound.reporting.frame_plots import scene_of, training_frame
from training_frames import made_frames

pytestmark = pytest.mark.usefixtures("coarse_figures")


def test_two_latents_are_the_axes_which_are_the_same_at_all_epochs_and_hold_every_code_and_the_prior(make_results):
    results, frames = make_results(), made_frames()
    scene = scene_of(results, frames)
    for frame, place in zip(frames, scene.places, strict=True):
        np.testing.assert_array_equal(place, frame.codes)
        assert (place > scene.low).all() and (place < scene.high).all()
    assert (np.abs(np.concatenate(scene.prior)) < np.maximum(-scene.low, scene.high)).all()
    assert np.ptp(scene.high - scene.low) < 1e-6
    limits = {
        (axes.get_xlim(), axes.get_ylim()) for k in range(4) for axes in training_frame(results, scene, k).axes[:1]
    }
    assert len(limits) == 1


def test_more_latents_are_shown_by_the_principal_components_of_the_last_codes(make_results):
    frames = made_frames(latent_dim=7, kind="samples")
    scene = scene_of(make_results(latent_dim=7), frames)
    last = frames[-1].codes - frames[-1].codes.mean(0)
    variances, directions = np.linalg.eigh(np.cov(last.T))
    expected = last @ directions[:, ::-1][:, :2]
    np.testing.assert_allclose(np.abs(scene.places[-1]), np.abs(expected), atol=1e-4)
    np.testing.assert_allclose(scene.places[-1].var(0, ddof=1), variances[::-1][:2], rtol=1e-4)
    assert scene.prior == []


def test_the_code_of_a_single_example_of_many_latents_moves_in_a_plane(make_results):
    frames = [replace(frame, codes=frame.codes[:1], labels=None) for frame in made_frames(latent_dim=7)]
    scene = scene_of(make_results(latent_dim=7), frames)
    np.testing.assert_allclose(scene.places[0], (frames[0].codes - frames[-1].codes)[:, :2], atol=1e-6)


def test_the_codes_of_one_latent_move_along_one_axis(make_results):
    scene = scene_of(make_results(latent_dim=1), made_frames(latent_dim=1))
    first, second, *_ = scene.places
    np.testing.assert_allclose(second[:, 0], 2 * first[:, 0], rtol=1e-6)
    np.testing.assert_array_equal(second[:, 1], first[:, 1])


@pytest.mark.parametrize("kind", ["manifold", "samples", "reconstructions", "none"])
@pytest.mark.parametrize("num_labels", [0, 10, 57])
def test_a_frame_shows_codes_and_pictures_and_names_its_epoch(make_results, kind, num_labels):
    results = make_results(num_labels=num_labels)
    frames = made_frames(num_labels=num_labels, kind=kind)
    figure = training_frame(results, scene_of(results, frames), 3)
    assert figure.get_suptitle() == "epoch 6, kept"
    codes, *pictures = figure.axes
    assert sum(len(dots.get_offsets()) for dots in codes.collections) == 60
    assert len(pictures) == (kind != "none")
    for axes in pictures:
        picture = axes.images[0].get_array()
        assert picture.shape == (26, 26, 4)  # 3 by 3 tiles with transparent gaps
        assert picture[4, 4].tolist() == [60, 60, 60, 255] and picture[8, 8, 3] == 0
