"""The graphical model in plate notation, drawn in inches on an empty canvas."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

from lowerbound.evaluation.results import Results
from lowerbound.foundation.text import pluralise
from lowerbound.probability.priors import PRIORS
from lowerbound.reporting import palette, theme

Point = tuple[float, float]

WIDTH, HEIGHT = 7.4, 3.3
RADIUS = 0.34
LATENT, OBSERVED = (2.05, 2.47), (2.05, 0.93)
CONDITION, BESIDE = (2.5, 1.7), 0.42  # of a conditional model, whose z and x stand further left
PHI, THETA = (0.42, 2.47), (3.68, 0.93)
PLATE = (1.1, 0.22, 1.9, 2.86)  # left, bottom, width, height
KEY_LEFT, KEY_TEXT = 4.3, 4.9
DOTTED = (0, (1.2, 2.2))
LINE_WIDTH, HEAD_LENGTH = 1.4, 9  # points


@theme.themed
def model_graph(results: Results) -> Figure:
    """The dependencies of the model. A circle is a random variable: z, the latent code, is never observed; x, the
    image, is observed and therefore shaded. The solid arrow is the generative model: z comes from the prior, and the
    decoder, with weights θ, turns it into a distribution over images. The dotted arrow runs the other way and is the
    inference model: the encoder, with weights φ, infers which codes could have produced an image. The plate is repeated
    for each of the N training images; the weights stand outside it because all images share them.
    """
    figure = Figure(figsize=(WIDTH, HEIGHT))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    axes.set_axis_off()
    _plate(axes, _num_examples(results))
    left = BESIDE if _conditions(results) else 0.0
    z = _node(axes, (LATENT[0] - left, LATENT[1]), r"$\mathbf{z}$", theme.PAPER)
    x = _node(axes, (OBSERVED[0] - left, OBSERVED[1]), r"$\mathbf{x}$", palette.SHADE)
    phi = _parameter(axes, PHI, r"$\phi$", "right")
    theta = _parameter(axes, THETA, r"$\theta$", "left")
    if _conditions(results):
        y = _node(axes, CONDITION, r"$\mathbf{y}$", palette.SHADE)
        _arrow(axes, y, x, "-")
        if _prior_is_given(results):
            _arrow(axes, y, z, "-", bend=0.25)
        _arrow(axes, y, z, DOTTED, bend=-0.15)
    _arrow(axes, z, x, "-", bend=-0.32)
    _arrow(axes, x, z, DOTTED, bend=-0.32)
    _arrow(axes, theta, x, "-")
    _arrow(axes, phi, z, DOTTED)
    _key(axes, results)
    return figure


def _plate(axes: Axes, num_examples: int | None) -> None:
    left, bottom, width, height = PLATE
    axes.add_patch(
        FancyBboxPatch(
            (left, bottom), width, height, boxstyle="round,pad=0,rounding_size=0.12", fill=False, ec=theme.MUTED
        )
    )
    number = "$N$" if num_examples is None else f"$N$ = {num_examples:,}"
    place = left + width - 0.1, bottom + 0.1
    theme.formulas(axes.text(*place, number, ha="right", va="bottom", size=9, color=theme.MUTED))


def _node(axes: Axes, at: Point, name: str, colour: str) -> Circle:
    circle = Circle(at, RADIUS, facecolor=colour, edgecolor=theme.INK, linewidth=1.3, zorder=2)
    axes.add_patch(circle)
    theme.formulas(axes.text(*at, name, ha="center", va="center", size=16, zorder=3))
    return circle


def _parameter(axes: Axes, at: Point, name: str, side: str) -> Circle:
    dot = Circle(at, 0.045, facecolor=theme.INK, edgecolor=theme.INK, zorder=2)
    axes.add_patch(dot)
    offset = -0.12 if side == "right" else 0.12
    theme.formulas(axes.text(at[0] + offset, at[1], name, ha=side, va="center", size=15))
    return dot


def _arrow(axes: Axes, start: Circle, end: Circle, linestyle: Any, bend: float = 0.0) -> None:
    """An arrow from border to border of two circles."""
    course = {
        "posA": start.center,
        "posB": end.center,
        "patchA": start,
        "patchB": end,
        "shrinkA": 0,
        "connectionstyle": f"arc3,rad={bend}",
        "color": theme.INK,
    }
    # Shaft and head separately: a dotted arrow would have a dotted head.
    shaft = FancyArrowPatch(**course, shrinkB=HEAD_LENGTH, arrowstyle="-", linestyle=linestyle, linewidth=LINE_WIDTH)
    head = FancyArrowPatch(
        **course, shrinkB=0, arrowstyle="-|>,head_length=1,head_width=0.45", mutation_scale=HEAD_LENGTH, linewidth=0
    )
    axes.add_patch(shaft)
    axes.add_patch(head)


def _key(axes: Axes, results: Results) -> None:
    model, given = results.context.get("config", {}).get("model", {}), _conditions(results)
    prior = r"p_\theta(z\,|\,y)" if _prior_is_given(results) else "p(z)"
    generative = rf"$p_\theta(x\,|\,z{', y' if given else ''})\;{prior}$"
    _entry(axes, 2.93, "-", "generative model", generative, _named(model, "likelihood", "prior"))
    inference = rf"$q_\phi(z\,|\,x{', y' if given else ''})$"
    _entry(axes, 1.98, DOTTED, "inference model", inference, _named(model, "posterior"))
    rows = [(theme.PAPER, _latent(model)), (palette.SHADE, _image(results))]
    rows += [(palette.SHADE, f"given, y: {', '.join(given)}")] if given else []
    for height, (colour, words) in zip((1.06, 0.62, 0.18), rows, strict=False):
        axes.add_patch(Circle((KEY_LEFT + 0.21, height), 0.12, facecolor=colour, edgecolor=theme.INK))
        axes.text(KEY_TEXT, height, words, va="center", size=9)


def _entry(axes: Axes, height: float, linestyle: Any, title: str, formula: str, kinds: str) -> None:
    ends = [KEY_LEFT, KEY_LEFT + 0.42], [height, height]
    axes.add_line(Line2D(*ends, linestyle=linestyle, linewidth=LINE_WIDTH, color=theme.INK))
    axes.text(KEY_TEXT, height, title, va="center", size=9, weight="bold")
    theme.formulas(axes.text(KEY_TEXT, height - 0.24, formula, va="center", size=11))
    axes.text(KEY_TEXT, height - 0.47, kinds, va="center", size=8, color=theme.MUTED)


def _conditions(results: Results) -> list[str]:
    """What a conditional model is given, by name."""
    names: list[str] = list(results.context.get("config", {}).get("model", {}).get("condition_on", []))
    return names


def _prior_is_given(results: Results) -> bool:
    prior = results.context.get("config", {}).get("model", {}).get("prior")
    return prior in PRIORS and PRIORS[prior].takes_context


def _named(model: dict[str, Any], *parts: str) -> str:
    """The configured choice for each part: "Bernoulli likelihood, standard normal prior"."""
    named = ", ".join(f"{model[part].replace('-', ' ')} {part}" for part in parts if model.get(part))
    return named[:1].upper() + named[1:]


def _latent(model: dict[str, Any]) -> str:
    number = model.get("latent_dim")
    return "latent" if number is None else f"latent: {pluralise(number, 'dimension')}"


def _image(results: Results) -> str:
    shape = results.context.get("data", {}).get("event_shape")
    if shape is None:
        return "observed"
    if len(shape) != 3 or results.context["data"].get("layout", "image") != "image":
        return f"observed: {' × '.join(map(str, shape))} values"
    channels, height, width = shape
    return f"observed: {height} × {width} image" + (f", {channels} channels" if channels > 1 else "")


def _num_examples(results: Results) -> int | None:
    number = results.context.get("data", {}).get("sizes", {}).get("train")
    return None if number is None else int(number)
