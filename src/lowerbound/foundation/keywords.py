"""KEYWORDS: the settings that are also keywords of `lowerbound.train` and options of commands, with their meanings.

The meaning stands here rather than beside the setting's type and default, because help must not import torch.
"""

from typing import NamedTuple


class Keyword(NamedTuple):
    """A setting, and its meaning as one sentence."""

    section: str
    key: str
    meaning: str

    @property
    def setting(self) -> str:
        """The setting's name, such as training.batch_size."""
        return f"{self.section}.{self.key}"


KEYWORDS = {
    "data": Keyword("data", "source", "Name of a source, or path of a file or folder."),
    "data_dir": Keyword("data", "data_dir", "Folder of IDX files, with a subfolder for each source."),
    "size": Keyword("data", "size", "WIDTHxHEIGHT that image files are resized to; empty keeps their common size."),
    "resize": Keyword("data", "resize", "Cover the size and crop, or fit within it and pad with black."),
    "labels": Keyword("data", "labels", "CSV of file names and labels, or column of a table with labels."),
    "skip_broken": Keyword("data", "skip_broken", "Skip unreadable examples, and list them."),
    "max_gib": Keyword("data", "max_gib", "Limit on the memory for the stored data, in GiB."),
    "latent_dim": Keyword("model", "latent_dim", "Number of latents."),
    "likelihood": Keyword("model", "likelihood", "Likelihood p(x|z), by name."),
    "beta": Keyword("objective", "rate_weight", "Weight of the rate in the objective: β; γ of rate 'capacity'."),
    "epochs": Keyword("training", "num_epochs", "Maximum number of passes over the training examples."),
    "batch_size": Keyword("training", "batch_size", "Examples of a minibatch; all of them if there are fewer."),
    "learning_rate": Keyword("training", "learning_rate", "Peak learning rate."),
    "seed": Keyword("training", "seed", "Seed of weights, batch order and noise, not of splits."),
}
"""By the name of the keyword; an option of a command has hyphens in place of underscores."""


def meaning(keyword: str) -> str:
    """The meaning of the setting that a keyword gives."""
    return KEYWORDS[keyword].meaning
