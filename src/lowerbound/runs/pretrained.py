"""save_pretrained: a run's model as a folder in Hugging Face's layout, which `load` reads.

config.json             the model and the schema of its data, for other programs
model.safetensors       the same file as in the run
calibration.safetensors the same, if the run has one: thresholds of anomaly scores
README.md               the model card: scores, use, training
"""

import shutil
from pathlib import Path

import lowerbound
from lowerbound.evaluation.results import read_results
from lowerbound.foundation.run_identity import MODEL, RunPath, path_of, read_config
from lowerbound.foundation.storage import check_own_folder, folder_atomically, write_text
from lowerbound.foundation.text_files import write_json
from lowerbound.reporting.model_card import model_card
from lowerbound.runs.trained_model import CALIBRATION, TrainedModel, load
from lowerbound.training.pretrained_config import PRETRAINED, pretrained_config

CARD = "README.md"
FILES = (PRETRAINED, MODEL, CALIBRATION, CARD)
MOST_COLUMNS = 5  # named in the card


def save_pretrained(run: RunPath, out: str | Path) -> Path:
    """Write the model of a run, with its card, to the folder `out`; `lowerbound.load` reads it.

    The model encodes, decodes and scores exactly as that of the run. A folder that contains other files than those of
    an earlier save and hidden ones, such as of a git repository, is refused with UsageError; RunError for a damaged
    run. Nothing is written before everything is complete.
    """
    path, folder = path_of(run), Path(out)
    check_own_folder(folder, _is_own, "save")
    read_config(path)
    trained, results = load(path), read_results(path)
    with folder_atomically(folder) as made:
        for name in (MODEL, CALIBRATION):
            if (path / name).exists():
                shutil.copyfile(path / name, made / name)
        write_json(made / PRETRAINED, pretrained_config(made, trained.vae, trained.schema, lowerbound.__version__))
        has_scores = (made / CALIBRATION).exists()
        card = model_card(results, folder.name, _units(trained), has_scores, trained.vae.has_prior)
        write_text(made / CARD, card)
        load(made)  # what cannot be read is not written
    if not has_scores:
        (folder / CALIBRATION).unlink(missing_ok=True)
    return folder


def _is_own(name: str) -> bool:
    return name in FILES or name.startswith(".")


def _units(trained: TrainedModel) -> str:
    """What the model takes, in words."""
    schema = trained.schema
    if schema.has_named_columns:
        names = ", ".join(column.name for column in schema.columns[:MOST_COLUMNS])
        more = ", ..." if len(schema.columns) > MOST_COLUMNS else ""
        return f"a DataFrame with the columns {names}{more}"
    shape = "×".join(map(str, ("N", *schema.shape)))
    return f"{shape}, values from {schema.range[0]:g} to {schema.range[1]:g}" if schema.is_scaled else shape
