"""Settings of data that nothing would read, such as a size for data that are not image files: refused, not ignored."""

from collections.abc import Iterable

from lowerbound.data.splits import DataConfig
from lowerbound.foundation.errors import ConfigError

OF_IMAGES = ("size", "resize", "channels")
OF_TABLES = ("columns", "exclude", "missing_markers", "decimal", "separator")
OF_FILES = ("labels", "layout", "range", *OF_IMAGES, *OF_TABLES)
"""Settings of how files are read, which data that are not inferred from files do not have."""


def check_unset(config: DataConfig, names: Iterable[str], reason: str) -> None:
    """ConfigError for the first of some settings that was set, though nothing would read it; `reason` says why."""
    usual = DataConfig()
    for name in names:
        if getattr(config, name) != getattr(usual, name):
            raise ConfigError(f"data.{name} {reason}")
