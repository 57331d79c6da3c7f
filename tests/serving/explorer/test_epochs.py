"""Frames of training on the page: those that the run keeps."""

import numpy as np

from explorer_runs import copied, info, tensors
from lowerbound.evaluation.frames import FOLDER, read_frames


def test_frames_are_those_of_the_run_in_their_order(client, run):
    kept, about = read_frames(run), info(client, run.name)["frames"]
    found = tensors(client.get(f"/api/runs/{run.name}/frames"))
    assert about == {"count": len(kept), "kind": kept[-1].about.kind}
    assert found["epochs"].tolist() == [frame.about.epoch for frame in kept]
    assert found["is_kept"].tolist() == [0] * (len(kept) - 1) + [1]
    for number, frame in enumerate(kept):
        np.testing.assert_array_equal(found["codes"][number], frame.codes)
        np.testing.assert_array_equal(found["pictures"][number], frame.pictures)
    if kept[-1].labels is None:
        assert "labels" not in found
    else:
        np.testing.assert_array_equal(found["labels"], kept[-1].labels)


def test_a_run_without_frames_or_with_damaged_ones_has_none_to_show(client, folder):
    for name, damage in (("none", None), ("damaged", b"not a file of tensors")):
        path = copied(folder / "digits", folder / f"frames-{name}")
        for file in (path / FOLDER).iterdir():
            file.unlink() if damage is None else file.write_bytes(damage)
        assert info(client, path.name)["frames"] is None
        answer = client.get(f"/api/runs/{path.name}/frames")
        assert answer.status_code == 409
        assert ("no frames of training" in answer.json()["error"]) == (damage is None)
