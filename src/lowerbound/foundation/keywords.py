"""KEYWORDS: the settings that are also keywords of the Python interface and options of commands, with their meanings.

The meaning stands here rather than beside the setting's type and default, because help must not import torch.
"""

from typing import NamedTuple


class Keyword(NamedTuple):
    """A setting, its meaning as one sentence, and the name of an option's value in help."""

    section: str
    key: str
    meaning: str
    value: str

    @property
    def setting(self) -> str:
        """The setting's name, such as training.batch_size."""
        return f"{self.section}.{self.key}"


KEYWORDS = {
    "data": Keyword("data", "source", "Name of a source, or path of a file or folder.", "[DATA]"),
    "data_dir": Keyword("data", "data_dir", "Folder of IDX files, with a subfolder for each source.", "DIR"),
    "size": Keyword("data", "size", "Size that image files are resized to; empty keeps theirs.", "WIDTHxHEIGHT"),
    "resize": Keyword("data", "resize", "Crop to the size, or fit within it and pad with black.", "crop|fit"),
    "labels": Keyword("data", "labels", "CSV of file names and labels, or label column of a table.", "FILE|COLUMN"),
    "skip_broken": Keyword("data", "skip_broken", "Skip unreadable examples, and list them.", ""),
    "max_gib": Keyword("data", "max_gib", "Limit on the memory for the stored data, in GiB.", "GIB"),
    "latent_dim": Keyword("model", "latent_dim", "Number of latents.", "N"),
    "likelihood": Keyword("model", "likelihood", "Likelihood p(x|z), by name.", "NAME"),
    "beta": Keyword("objective", "rate_weight", "Weight of the rate: β; γ of rate 'capacity'.", "WEIGHT"),
    "epochs": Keyword("training", "num_epochs", "Maximum number of passes over the training examples.", "N"),
    "batch_size": Keyword("training", "batch_size", "Examples of a minibatch; all of them if there are fewer.", "N"),
    "learning_rate": Keyword("training", "learning_rate", "Peak learning rate.", "RATE"),
    "seed": Keyword("training", "seed", "Seed of weights, batch order and noise, not of splits.", "N"),
}
"""By the name of the keyword."""


def meaning(keyword: str) -> str:
    """The meaning of the setting that a keyword gives."""
    return KEYWORDS[keyword].meaning


def option(keyword: str) -> str:
    """The option of commands that gives a setting."""
    return f"--{keyword.replace('_', '-')}"
