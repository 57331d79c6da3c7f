# %% [markdown]
# # 9. Anomalies
#
# A model of what is usual can say what is not: an image with a low log p(x) is unlike the training data. In this lesson you train on nine kinds of digits and
# try to detect the tenth, learn why the plain ELBO is a bad score for some images, and set a threshold that keeps its promise.

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_auc_score

import lowerbound as lb

splits = lb.load_data(lb.DataConfig(source="digits"))
HIDDEN = 8
pixels = np.concatenate([splits.train.values, splits.validation.values])
digits = np.concatenate([splits.train.labels, splits.validation.labels])
usual = pixels[digits != HIDDEN]
# An array of bytes is taken for 0..255 unless its range is given; the digits go up to 16.
fast = {"data": {"range": [0, 16]}, "evaluation": {"num_exact": 2}}
run = lb.train(usual, recipe="dense", latent_dim=8, epochs=60, settings=fast)
model = run.model

# %% [markdown]
# ## Scores
#
# `model.score` gives each image a number in nats; higher is more anomalous.

# %% alt="Histograms of the anomaly score: most images of the digit left out of training score higher than the other digits"
test, labels = splits.test.values, splits.test.labels
scores = model.score(test)
is_new = labels == HIDDEN
print(f"the digit {HIDDEN}, which was never trained on, against the others:")
for name in ("complexity-residual", "negative-elbo", "typicality"):  # the first is the default for images
    print(f"  AUROC {roc_auc_score(is_new, model.score(test, by=name)):.3f} by {name}")

plt.figure(figsize=(6, 2.4))
bins = np.linspace(scores.min(), scores.max(), 40)
plt.hist(scores[~is_new], bins, alpha=0.6, density=True, label="other digits")
plt.hist(scores[is_new], bins, alpha=0.6, density=True, label=f"digit {HIDDEN}")
plt.xlabel("anomaly score (nats)")
plt.legend()
plt.show()

# %% [markdown]
# ## Probable is not usual
#
# −ELBO alone can mislead. A simple image has little to get wrong: on MNIST, entirely black images are *more* probable than one digit in five, although no digit is
# black, and −ELBO detects them with an AUROC of only 0.80. Two other scores look at more than the probability. *Typicality* is the distance from the mean of usual
# images, in either direction (Nalisnick et al., arXiv:1906.02994). *complexity-residual*, the default for images, subtracts what is usual for an image of that complexity,
# measured as the size of its PNG file (after Serrà et al., arXiv:1909.11480); it detects the black images with 0.98 ([reproducing](../reproducing.md#anomalies)). The
# images here are so strange that every score finds them:

# %%
strange = {
    "black": np.zeros((20, 8, 8, 1), np.uint8),
    "noise": np.random.default_rng(0).integers(0, 17, (20, 8, 8, 1)).astype(np.uint8),
    "upside down": test[~is_new][:60, ::-1],
    "inverted": 16 - test[~is_new][:60],
}
for name, images in strange.items():
    truth = np.r_[np.zeros(int((~is_new).sum())), np.ones(len(images))]
    line = f"{name:12} AUROC"
    for by in ("negative-elbo", "typicality", "complexity-residual"):
        together = np.r_[model.score(test[~is_new], by=by), model.score(images, by=by)]
        line += f"  {roc_auc_score(truth, together):.3f} by {by}"
    print(line)

# %% [markdown]
# ## A threshold
#
# A score is not yet a decision. Training held out some images; their scores say how often a usual image exceeds a level. The share of usual images above the 95 % quantile
# is at most 5 % on average, whatever the model (split conformal prediction):

# %% alt="The twenty most anomalous test images in a row"
threshold = model.calibration().thresholds(0.05)["complexity-residual"].value
print(
    f"threshold {threshold:.2f} nats: {(scores[~is_new] > threshold).mean():.1%} of usual test images are above it, {(scores[is_new] > threshold).mean():.1%} of digit {HIDDEN}"
)

order = np.argsort(-scores)[:20]
plt.figure(figsize=(8, 1))
plt.imshow(np.concatenate(list(test[order]), axis=1)[..., 0], cmap="gray")
plt.title("the twenty most anomalous test images: " + " ".join(str(label) for label in labels[order]), size=8)
plt.axis("off")
plt.show()

# %% [markdown]
# From the command line, `lowerbound score RUN new/ --out scores.csv` does all of this for a folder.
#
# ## Exercises
#
# 1. Hide the 0 instead of the 8 (`HIDDEN = 0`). Why is it easier to detect? And what happens without the range in `fast`?
# 2. Among the twenty most anomalous images there are digits that are not hidden. Look at them: are they false alarms?
# 3. The threshold is met on average over held-out images. Is it met for each kind of digit?
#
# <details><summary>Answers</summary>
#
# 1. Without the range all pixels are nearly black to the model, and no score detects anything. No other digit has a hole in the middle of the image. An 8 looks like a 3, a 9 or a 1, and the model reconstructs it as one at little cost.
# 2. Many are badly written, as the score says. An alarm is only false with respect to a question, and nobody told the model which one.
# 3. No. The promise is for the mixture of usual images; kinds that vary more get more alarms.
#
# </details>
