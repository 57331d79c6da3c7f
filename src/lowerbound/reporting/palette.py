"""The colours of data in figures and on the explorer's page, for light and dark backgrounds: the only list of them."""

from typing import Any

CATEGORIES = (
    "#133665",
    "#2dbbf8",
    "#a63843",
    "#98bc00",
    "#672eac",
    "#aa7a0a",
    "#da8fa4",
    "#3a7798",
    "#5b2800",
    "#966aed",
)
"""Ten colours found by a search for the largest distances, also under each of the three colour blindnesses."""

DARK_CATEGORIES = (
    "#6f9be0",
    "#2dbbf8",
    "#e0606e",
    "#98bc00",
    "#a06be6",
    "#d0a036",
    "#e3a6b6",
    "#5f9fc0",
    "#b07a4a",
    "#b39af5",
)
"""The same ten hues, lighter where a dark background needs it."""

TRAIN, VALIDATION = "#3a7798", "#c4510f"

SEQUENTIAL = ("#3a1d6e", "#2f5d9b", "#1f8f8a", "#6aa31d", "#d8a400")
DARK_SEQUENTIAL = ("#5b48b8", "#3f86cf", "#2fb3a6", "#9ccb3b", "#ffe066")
"""A scale of numbers from low to high, dark to light, whose ends differ from the background."""

BY_THEME: dict[str, dict[str, Any]] = {
    "light": {
        "categories": CATEGORIES,
        "sequential": SEQUENTIAL,
        "unknown": "#68707a",
        "dimmed": "#d5d8dc",
        "train": TRAIN,
        "validation": VALIDATION,
    },
    "dark": {
        "categories": DARK_CATEGORIES,
        "sequential": DARK_SEQUENTIAL,
        "unknown": "#a0a8b1",
        "dimmed": "#3a4149",
        "train": "#6fb0d2",
        "validation": "#f0955c",
    },
}
"""The colours of each theme: of labels, of numbers, of examples without a label, of examples that were not selected,
of the training and the validation split."""

PAPER = "#ffffff"
INK, MUTED, FAINT = "#24292f", "#68707a", "#d5d9de"
SHADE = "#c9d3dc"
OTHERS = "#b4bac1"
TONES = ("#dbe9f2", "#a9cbe0", "#5f9cc0")
"""Regions that contain 99 %, 86 % and 39 % of a distribution, outermost first."""

DARK: dict[str, str] = {
    PAPER: "#1e2227",
    "#000000": "#e4e6e9",
    INK: "#e4e6e9",
    MUTED: "#a0a8b1",
    FAINT: "#3d444c",
    SHADE: "#414c57",
    OTHERS: "#6b737c",
    **dict(zip(TONES, ("#22384a", "#2f5d7a", "#4f90b8"), strict=True)),
    TRAIN: BY_THEME["dark"]["train"],
    VALIDATION: BY_THEME["dark"]["validation"],
    **dict(zip(CATEGORIES, DARK_CATEGORIES, strict=True)),
}
"""Every colour of a figure, as drawn on white paper, with its counterpart on a dark page."""
