"""A lesson runs as a program, from the first cell to the last; `make docs` runs all of them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from explorer_runs import trained

LESSONS = sorted((Path(__file__).parents[2] / "docs" / "learn").glob("[0-9]*.py"))


def test_a_lesson_runs_with_a_run_that_is_there(tmp_path_factory, tmp_path):
    shutil.copytree(trained(tmp_path_factory, "digits"), tmp_path / "runs" / "learn")
    (tmp_path / "runs" / "learn" / "report.html").touch()  # which a finished run has
    environment = os.environ | {"MPLBACKEND": "agg"}
    lesson = next(path for path in LESSONS if path.stem == "02_the_bound")
    finished = subprocess.run(
        [sys.executable, lesson],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    by_hand, library = re.search(r"log p\(x\) = (\S+) on a grid.*quadrature: (\S+)", finished.stdout).groups()
    assert float(by_hand) == pytest.approx(float(library), abs=0.02)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_lessons_are_percent_notebooks_without_outputs_that_end_with_exercises(lesson):
    text = lesson.read_text(encoding="utf-8")
    assert text.startswith("# %% [markdown]\n# # ")
    assert "# ## Exercises" in text
    assert text.rstrip().endswith("# </details>")
    assert '"output_type"' not in text


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_every_figure_of_a_lesson_has_a_description_of_its_own(lesson):
    cells = re.split(r"^# %%", lesson.read_text(encoding="utf-8"), flags=re.MULTILINE)
    drawn = [cell for cell in cells if "plt.show()" in cell]
    described = [re.match(r' alt="([^"]{20,250})"\n', cell) for cell in drawn]
    assert drawn and all(described)
    assert len({found[1] for found in described}) == len(drawn)
