"""calibration_curve: how often a classifier is right, by the confidence that it states."""

from matplotlib.figure import Figure

from lowerbound.evaluation.results import Results
from lowerbound.reporting import theme


@theme.themed
def calibration_curve(results: Results) -> Figure:
    """Calibration of the classifier q(y|x). Test examples are grouped by the probability of the label that it
    predicts; each point is the share of a group that it predicts correctly, and a larger point is a larger group. On
    the diagonal, stated and observed probabilities agree; below it the classifier is too confident.
    """
    names = ("calibration_confidence", "calibration_accuracy", "calibration_counts")
    confidence, accuracy, counts = (results.arrays[name] for name in names)
    figure = Figure(figsize=(4.0, 4.0), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], linestyle=":", linewidth=1)
    axes.plot(confidence, accuracy, linewidth=1)
    axes.scatter(confidence, accuracy, s=15 + 150 * counts / counts.max())
    axes.set(xlabel="probability of the predicted label", ylabel="share predicted correctly", xlim=(0, 1), ylim=(0, 1))
    return figure
