"""The colours of the page."""

import json
import re
import numpy as np
import pytest
import torch
from explorer_runs import KINDS, info, tensors
from lowerbound.data.batches import scaled
from lowerbound.data.sources import load
from lowerbound.evaluation.feature_samples import best_guess
from lowerbound.evaluation.generation import to_images
from lowerbound.foundation.seeding import generator
from lowerbound.reporting.theme import CATEGORIES
from lowerbound.runs.run_data import read_stored
from lowerbound.serving.explorer.application import PAGE
from lowerbound.training.checkpoint import load_model



def test_labels_have_the_colours_of_the_reports_figures(client):
    answer = client.get("/assets/palette.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    palette = json.loads(answer.text.removeprefix("export const PALETTE = ").rstrip(";\n"))
    assert tuple(palette["light"]["categories"]) == CATEGORIES
    assert not re.search(r"#[0-9a-f]{6}", (PAGE / "colours.js").read_text())
