"""Frames of training: what they contain, and what is refused."""

import numpy as np
import pytest
import torch

from lowerbound.data.batches import scaled
from lowerbound.data.sources import DataConfig, load
from lowerbound.evaluation import frames, generation
from lowerbound.evaluation.config import EvaluationConfig
from lowerbound.evaluation.frames import FINAL, FOLDER, drop_frames_after, kept_epochs, read_frames, write_frame
from lowerbound.evaluation.metrics import Subject
from lowerbound.foundation.errors import RunError
from lowerbound.foundation.seeding import generator
from lowerbound.foundation.tensor_files import load_tensors, save_tensors
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model


@pytest.fixture(scope="module")
def digits():
    return load(DataConfig())


@pytest.fixture
def subject(digits):
    return subject_of(digits)


def subject_of(splits, **settings):
    settings = {"hidden": (4,), "latent_dim": 2} | settings
    model = build_model(ModelConfig(**settings), splits.train.event_shape, generator(0, "weights"))
    return Subject(model, splits, EvaluationConfig(), "grey")


@pytest.mark.parametrize("num_epochs", [1, 2, 7, 30, 100, 1000])
def test_about_twenty_epochs_are_kept_first_and_last_included_and_denser_at_first(num_epochs):
    kept = sorted(kept_epochs(num_epochs))
    assert kept[:2] == [0, 1] and kept[-1] == num_epochs
    assert len(kept) == min(num_epochs + 1, len(kept)) <= frames.NUM_FRAMES + 1
    assert len(kept) > 0.6 * min(num_epochs, frames.NUM_FRAMES)
    gaps = np.diff(kept)
    assert gaps[: len(gaps) // 2].sum() <= gaps[len(gaps) // 2 :].sum()


def test_a_frame_has_the_codes_of_test_examples_and_a_grid_of_what_the_model_decodes(subject, digits, tmp_path):
    write_frame(tmp_path, subject, 3)
    (frame,) = read_frames(tmp_path)
    assert (frame.about.epoch, frame.about.is_kept, frame.about.kind) == (3, False, "manifold")
    with torch.no_grad():
        expected = subject.model.encode(scaled(digits.test)).mean.numpy()
    np.testing.assert_allclose(frame.codes, expected, atol=1e-6)
    np.testing.assert_array_equal(frame.labels, digits.test.labels)
    axes = generation.quantile_axes(subject.model, 12).T
    shown = generation.manifold(subject.model, *axes)
    np.testing.assert_array_equal(frame.pictures, np.rint(255 * shown))


@pytest.mark.parametrize(
    ("settings", "kind"),
    [({"latent_dim": 3}, "samples"), ({"latent_dim": 1}, "samples"), ({"posterior": "point-mass"}, "reconstructions")],
)
def test_without_a_plane_the_pictures_are_samples_and_without_a_prior_reconstructions(digits, tmp_path, settings, kind):
    subject = subject_of(digits, **settings)
    write_frame(tmp_path, subject, 0)
    (frame,) = read_frames(tmp_path)
    assert frame.about.kind == kind
    if kind == "samples":
        expected = generation.prior_samples(subject.model, 144, EvaluationConfig().seed)
    else:
        with torch.no_grad():
            expected = generation.to_images(subject.model.reconstruct(scaled(digits.test.head(144))))
    np.testing.assert_array_equal(frame.pictures, np.rint(255 * expected))


def test_large_images_are_shrunk_by_averaging_and_of_many_channels_the_first_is_kept():
    large = np.random.default_rng(0).uniform(size=(2, 128, 64, 5)).astype(np.float32)
    small = frames._small(large)
    assert small.shape == (2, 64, 32, 1)
    np.testing.assert_allclose(small[..., 0], 255 * large[..., 0].reshape(2, 64, 2, 32, 2).mean((2, 4)), atol=0.51)


def test_a_frame_draws_from_no_generator_of_training_and_leaves_the_model_as_it_is(subject, tmp_path):
    subject.model.train()
    before = {name: tensor.clone() for name, tensor in subject.model.state_dict().items()}
    state = torch.get_rng_state()
    write_frame(tmp_path, subject, 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert subject.model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in subject.model.state_dict().items())


def test_frames_are_in_the_order_of_training_and_later_ones_are_dropped_for_a_resumed_run(subject, tmp_path):
    for epoch in (12, 0, 2):
        write_frame(tmp_path, subject, epoch)
    write_frame(tmp_path, subject, 7, is_kept=True)
    assert [(frame.about.epoch, frame.about.is_kept) for frame in read_frames(tmp_path)] == [
        (0, False),
        (2, False),
        (12, False),
        (7, True),
    ]
    drop_frames_after(tmp_path, 2)
    assert [frame.about.epoch for frame in read_frames(tmp_path)] == [0, 2]
    drop_frames_after(tmp_path, -1)
    assert read_frames(tmp_path) == () == read_frames(tmp_path / "nowhere")


def rewritten(path, **changes):
    """A frame with other metadata or arrays, and a checksum that is right."""
    tensors, stored = load_tensors(path)
    about = {**stored["about"], **changes.pop("about", {})}
    tensors = {name: array for name, array in (tensors | changes).items() if array is not None}
    save_tensors(path, tensors, {**stored, "about": about})


@pytest.mark.parametrize(
    "change",
    [
        {"about": {"epoch": "x"}},
        {"about": {"more": 1}},
        {"about": {"kind": "portrait"}},
        {"codes": None},
        {"codes": torch.zeros(3, 2, dtype=torch.float64)},
        {"labels": torch.zeros(2, dtype=torch.int64)},
        {"pictures": torch.zeros(2, 2, dtype=torch.uint8)},
        {"others": torch.zeros(1)},
    ],
    ids=str,
)
def test_a_frame_that_is_not_one_is_refused_in_one_line(subject, tmp_path, change):
    write_frame(tmp_path, subject, 1, is_kept=True)
    rewritten(tmp_path / FOLDER / FINAL, **change)
    with pytest.raises(RunError, match=r"final\.safetensors is damaged") as refused:
        read_frames(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_truncated_frame_is_refused(subject, tmp_path):
    write_frame(tmp_path, subject, 1)
    (path,) = (tmp_path / FOLDER).iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(RunError, match="is damaged"):
        read_frames(tmp_path)
