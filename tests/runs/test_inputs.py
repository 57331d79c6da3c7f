"""What is read as the examples that a command is given: the run's own, or others."""

import numpy as np
import pytest
from PIL import Image

from data_files import saved, written
from lowerbound.data.examples import Collection, Examples
from lowerbound.data.images import image_options, read_image_bytes
from lowerbound.foundation.errors import TooLarge, UsageError
from lowerbound.inference import tasks
from lowerbound.runs.inputs import InputOptions, captions_of, read_inputs, read_one
from lowerbound.runs.trained_model import load
from untrained_models import untrained


def test_commands_that_use_a_model_take_the_limit_too(tmp_path):
    path = written(tmp_path / "x.npy", saved(np.save, np.arange(6400, dtype=np.uint8).reshape(100, 8, 8)))
    model = untrained(path)
    with pytest.raises(TooLarge, match=r"data\.max_gib to 1"):
        read_inputs(model, [str(path)], InputOptions(max_gib=1e-6))
    assert len(read_inputs(model, [str(path)], InputOptions(max_gib=1.0)).examples) == 100


def test_data_and_inputs_are_not_given_together(place):
    with pytest.raises(UsageError, match="the path of the run's own data are both given"):
        tasks.encode(place / "run", ["x.npy"], InputOptions(data="x.npy"))


def test_one_example_is_a_test_example_by_its_number_or_the_first_of_a_file(place):
    model = load(place / "run")
    test = read_inputs(model, []).examples
    np.testing.assert_array_equal(read_one(model, "3").examples.values, test.values[3:4])
    np.save(place / "new.npy", np.ones((4, 5)))
    assert read_one(model, "new.npy", InputOptions(data="elsewhere.npy")).examples.values.tolist() == [[1.0] * 5]
    with pytest.raises(UsageError, match=f"no such test example: {len(test)}; accepted: 0 to {len(test) - 1}"):
        read_one(model, str(len(test)))


def test_captions_say_label_and_name_and_what_a_number_is():
    examples = Examples(np.zeros((2, 4, 4, 1), np.uint8), 1.0, labels=np.array([1, 0]))
    assert captions_of(Collection(examples, ("cat", "7"))) == [("label 7", "no. 0"), ("cat", "no. 1")]
    assert captions_of(Collection(examples, ids=("a.png", "b.png"))) == [("a.png",), ("b.png",)]


def test_several_inputs_are_image_files(place):
    with pytest.raises(UsageError, match=r"x\.npy is not an image file; give one file or folder, or several \.png"):
        read_inputs(load(place / "run"), ["a.png", "x.npy"])


def test_a_model_without_a_run_has_no_examples_of_its_own(place):
    with pytest.raises(UsageError, match=r"is not a run directory; give the data to read"):
        read_inputs(untrained("x.npy"), [])


@pytest.mark.parametrize(
    ("held", "photo"),
    [
        (np.random.default_rng(0).integers(0, 17, (20, 8, 9)).astype(np.uint8), "RGB"),
        (np.random.default_rng(0).integers(0, 256, (20, 8, 9, 3)).astype(np.uint8), "L"),
        (np.random.default_rng(0).integers(0, 60000, (20, 8, 9)).astype(np.uint16), "I;16"),
    ],
    ids=["levels", "colour", "16 bits"],
)
def test_an_image_of_any_size_is_read_alike_at_every_door_of_a_model_of_arrays(tmp_path, held, photo):
    model = untrained(written(tmp_path / "held.npy", saved(np.save, held)))
    pixels = np.random.default_rng(1).integers(0, 200, (30, 20, 3) if photo == "RGB" else (30, 20))
    image = Image.fromarray(pixels.astype(np.uint16 if photo == "I;16" else np.uint8))
    path = written(tmp_path / "photo.png", saved(image.save, "png"))
    by_path, in_memory = read_inputs(model, [str(path)]), model.examples(image)
    served = model.collection(read_image_bytes("photo.png", path.read_bytes(), image_options(model.schema)))
    assert by_path.examples.event_shape == model.schema.event_shape
    for other in (in_memory, served):
        np.testing.assert_array_equal(other.examples.values, by_path.examples.values)
        assert other.notes == by_path.notes and "1 of 1 resized to 9×8 pixels, cropped" in other.notes
