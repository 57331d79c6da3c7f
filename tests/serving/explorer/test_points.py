"""The examples of a run: which they are, in which order, and how they are shown."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from explorer_runs import copied, encoded, trained
from lowerbound.data.batches import scaled
from lowerbound.data.binarisation import binarise_by_content
from lowerbound.data.sources import load
from lowerbound.foundation.errors import DataError, RunError
from lowerbound.serving.explorer.loaded_run import decode, load_run
from lowerbound.serving.explorer.points import (
    CHUNK,
    displayed_examples,
    load_points,
    one_model_input,
    points_of,
)


@pytest.fixture(scope="module")
def dynamic(tmp_path_factory):
    return load_run(trained(tmp_path_factory, "dynamic"), "cpu")


def test_points_are_all_examples_split_after_split(loaded):
    points, splits = load_points(loaded), load(loaded.experiment.data)
    assert points.names == ("train", "validation", "test")
    assert len(points) == 1797
    assert [np.bincount(points.split)[split] for split in range(3)] == [1257, 180, 360]
    labels = np.concatenate([splits.train.labels, splits.validation.labels, splits.test.labels])
    np.testing.assert_array_equal(points.labels, labels)
    assert points.place(0) == (0, 0)
    assert points.place(1256) == (0, 1256)
    assert points.place(1257) == (1, 0)
    assert points.place(1796) == (2, 359)


@pytest.mark.parametrize("index", [-1, 1797])
def test_there_is_no_point_beyond_them(loaded, index):
    with pytest.raises(DataError, match="0 to 1796"):
        load_points(loaded).place(index)


@pytest.mark.parametrize(
    ("most", "counts"), [(5000, (1257, 180, 360)), (600, (60, 180, 360)), (400, (40, 360)), (100, (100,))]
)
def test_where_there_is_no_room_for_all_the_test_examples_are_kept_and_then_those_held_out(loaded, most, counts):
    points = points_of(load(loaded.experiment.data), loaded, most)
    assert tuple(len(part) for part in points.parts) == counts
    assert points.names == ("train", "validation", "test")[-len(counts) :]


def test_where_training_watched_the_test_examples_they_are_shown_once(loaded):
    splits = load(replace(loaded.experiment.data, validation="test"))
    points = points_of(splits, loaded)
    assert points.names == ("train", "test")
    assert len(points) == 1797


@pytest.mark.parametrize("kind", ["digits", "dynamic", "colour", "table", "array"])
def test_one_example_is_seen_as_it_was_encoded(tmp_path_factory, kind):
    opened = load_run(trained(tmp_path_factory, kind), "cpu")
    points = load_points(opened)
    codes = encoded(opened, points)
    for index in {0, len(points) // 3, CHUNK + 1 if len(points) > CHUNK else 1, len(points) - 1}:
        with torch.inference_mode():
            mean = opened.model.encode(one_model_input(points, index)).mean[0]
        torch.testing.assert_close(mean, torch.from_numpy(codes.mean[index]))


def test_what_is_drawn_anew_on_every_pass_is_shown_in_grey_and_seen_in_black_and_white(dynamic):
    points, splits = load_points(dynamic), load(dynamic.experiment.data)
    assert points.is_redrawn
    shown = displayed_examples(points, [0, 1])["images"]
    grey = np.rint(splits.train.values[:2] / 16 * 255)
    np.testing.assert_array_equal(shown, np.broadcast_to(grey, (2, 8, 8, 3)))
    seen = one_model_input(points, 0)
    assert set(seen.unique().tolist()) == {0.0, 1.0}
    drawn = scaled(binarise_by_content(splits.train, dynamic.schema.binarisation_seed))
    for index in (0, 5, CHUNK + 3):  # whatever else is seen with it
        torch.testing.assert_close(one_model_input(points, index)[0], drawn[index], rtol=0, atol=0)
    of_test = len(points) - 1
    np.testing.assert_array_equal(
        displayed_examples(points, [of_test])["images"][0, ..., 0], splits.test.values[-1, ..., 0] * 255
    )


def test_examples_are_shown_in_the_order_in_which_they_were_asked_for(loaded):
    points, splits = load_points(loaded), load(loaded.experiment.data)
    shown = displayed_examples(points, [1796, 3, 1257, 3])["images"]
    values = [splits.test.values[-1], splits.train.values[3], splits.validation.values[0], splits.train.values[3]]
    np.testing.assert_array_equal(shown[..., 0], np.rint(np.stack(values)[..., 0] / 16 * 255))


def test_rows_are_shown_as_their_values_with_missing_cells(tmp_path_factory):
    table = load_run(trained(tmp_path_factory, "table"), "cpu")
    points = load_points(table)
    every = displayed_examples(points, list(range(len(points))))["values"]
    np.testing.assert_array_equal(every, np.concatenate([part.values for part in points.parts]))
    assert np.isnan(every).any()


def test_data_that_are_not_those_trained_on_are_refused(loaded, tmp_path):
    other = load_run(copied(loaded.path, tmp_path / "a", binarisation="static"), "cpu")
    with pytest.raises(RunError, match="their checksum differs"):
        load_points(other)


def test_moved_data_are_read_where_someone_says(tmp_path_factory, tmp_path):
    table = trained(tmp_path_factory, "table")
    (tmp_path / "moved.csv").write_bytes((table.parent / "things.csv").read_bytes())
    gone = load_run(copied(table, tmp_path / "a", source="nowhere.csv", data_path=str(tmp_path / "nowhere.csv")), "cpu")
    with pytest.raises(DataError, match="give its new path"):
        load_points(gone)
    found, before = load_points(gone, data=str(tmp_path / "moved.csv")), load_points(load_run(table, "cpu"))
    for part, expected in zip(found.parts, before.parts, strict=True):
        np.testing.assert_array_equal(part.values, expected.values)


def test_numbers_with_an_offset_are_shown_as_they_are_stored(tmp_path_factory):
    run = trained(tmp_path_factory, "far")
    far, stored = load_run(run, "cpu"), np.load(run.parent / "far.npy")
    points = load_points(far)
    shown = displayed_examples(points, list(range(len(points))))["values"]
    order = np.lexsort(shown.T), np.lexsort(stored.T)
    np.testing.assert_allclose(shown[order[0]], stored[order[1]], rtol=0, atol=1e-5)
    z = np.zeros((3, 2), np.float32)
    expected = far.trained.decode(z).mean
    np.testing.assert_allclose(decode(far, z)["values"], expected, rtol=0, atol=1e-5)
    assert np.abs(expected[0].numpy() - stored.mean(0)).max() < 5
