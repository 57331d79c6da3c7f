"""palette_module: the colours of the page as a generated JavaScript module, `explorer/palette.js`."""

import json

from lowerbound.reporting.palette import BY_THEME

NAME = "palette.js"


def palette_module() -> str:
    """The text of the module, which exports PALETTE."""
    return f"export const PALETTE = {json.dumps(BY_THEME)};\n"
