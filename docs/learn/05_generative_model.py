# %% [markdown]
# # 5. A generative model
#
# Both texts end with three pictures: the test images as dots in the latent plane, a grid of decoded codes, and samples. You make them here, and find out why
# some samples are not digits.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import lowerbound as lb

torch.set_grad_enabled(False)
run = lb.lesson_run()
model, splits = run.model, run.splits()
test, labels = splits.test.values, splits.test.labels
q = model.encode(test)


def tiles(images, columns):
    """Images in rows, as one picture, with a black pixel between them."""
    images = np.pad(images, ((0, 0), (0, 1), (0, 1), (0, 0)))
    rows = [np.concatenate(list(images[start : start + columns]), axis=1) for start in range(0, len(images), columns)]
    return np.concatenate(rows, axis=0)[..., 0]


# %% [markdown]
# ## Where the images lie
#
# Each test image at the mean of its posterior. The labels were never used in training:

# %% alt="Posterior means of the test images in the latent plane, coloured by digit, with circles at 1, 2 and 3 standard deviations of the prior"
figure, axes = plt.subplots(figsize=(5.4, 4.2), layout="constrained")
dots = axes.scatter(*q.mean.T, c=labels, s=8, cmap="tab10", vmin=-0.5, vmax=9.5)
figure.colorbar(dots, ticks=range(10))
for radius in (1, 2, 3):
    axes.add_patch(plt.Circle((0, 0), radius, fill=False, linestyle=":", color="grey"))
axes.set(xlabel="$z_1$", ylabel="$z_2$", aspect="equal", title="posterior means; prior at 1, 2, 3 σ")
plt.show()

# %% [markdown]
# ## The manifold
#
# The decoder's answer to every point of a grid. The first text describes its tiles as random samples from the unit normal; a grid is not random. The second text's grid
# is even, from −2 to 2 and from −1 to 3, which is where its codes happened to lie. A grid on the quantiles of the prior, (i − ½)/n for i = 1 … n, gives every
# tile the same probability, and needs no look at the codes:


# %% alt="Two grids of decoded points of the latent plane, 15 × 15 and 20 × 20: neighbouring tiles are similar, and digits turn into one another"
def manifold(size):
    quantiles = torch.distributions.Normal(0, 1).icdf((torch.arange(size) + 0.5) / size)
    grid = torch.cartesian_prod(quantiles.flip(0), quantiles).flip(1)  # rows from top to bottom, z_1 to the right
    return tiles(model.decode(grid).mean.numpy(), size)


figure, panels = plt.subplots(1, 2, figsize=(9, 4.5))
for panel, size in zip(panels, (15, 20), strict=True):
    panel.imshow(manifold(size), cmap="gray")
    panel.set(title=f"{size} × {size}", xticks=[], yticks=[])
figure.tight_layout()
plt.show()

# %% [markdown]
# ## Samples
#
# To generate, draw z from the prior and decode. Shown is the mean of p(x|z), as in both texts; a true sample would also draw every pixel.

# %% alt="Forty decoded draws from the prior in two rows: most are digits, some are blends of two"
z = model.vae.prior().sample(torch.Generator().manual_seed(0), 400)
pictures = model.decode(z).mean.numpy()
plt.figure(figsize=(8, 1.2))
plt.imshow(tiles(pictures[:40], 20), cmap="gray")
plt.axis("off")
plt.title("samples: decoded draws from the prior", size=9)
plt.show()

# %% [markdown]
# ## Why some are not digits
#
# How unlike a digit is a sample? Measure its distance to the training image that is most like it. The map below has this distance at every point of the plane, with the
# codes of the test images in the colours of the scatter plot. Marked are samples from the prior, no two of them close together: the eight that are most like a
# training image (a to h), and the eight that are least like any (1 to 8).


# %% alt="A map of the latent plane, light between the codes of different digits, where decoded images are unlike every training image; and two rows each of digits from dark regions and of blends from light ones"
def unit_length(images):
    """Images as vectors of length 1: a thin digit counts as much as a bold one."""
    return torch.nn.functional.normalize(torch.from_numpy(images).flatten(1).float())


train = unit_length(splits.train.values[:10_000])


def distance(images):
    """How far each image, at length 1, is from the nearest training image: 0 if they are equal."""
    return torch.cdist(unit_length(images), train).amin(1).numpy()


def first_eight(order):
    """The first eight samples in this order that lie on the map, at least 0.5 apart."""
    chosen = []
    for n in order.tolist():
        if z[n].abs().max() < 2.9 and all(torch.dist(z[n], z[m]) > 0.5 for m in chosen):
            chosen.append(n)
    return chosen[:8]


nearest = distance(pictures)
marked = dict(zip("abcdefgh12345678", first_eight(nearest.argsort()) + first_eight((-nearest).argsort()), strict=True))
axis = torch.linspace(-3, 3, 41)
grid = torch.cartesian_prod(axis, axis).flip(1)
figure = plt.figure(figsize=(9, 4.6), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=[1.15, 1])
axes = left.subplots()
shades = axes.contourf(axis, axis, distance(model.decode(grid).mean.numpy()).reshape(41, 41), levels=8, cmap="Greys_r")
left.colorbar(shades, label="distance to the nearest training image", location="bottom", shrink=0.8)
axes.scatter(*q.mean[:1000].T, c=labels[:1000], s=9, cmap="tab10", vmin=-0.5, vmax=9.5)
for mark, n in marked.items():
    box = {"boxstyle": "circle,pad=0.15", "facecolor": "gold" if mark.isdigit() else "white"}
    axes.text(*z[n].tolist(), mark, ha="center", va="center", size=9, bbox=box)
axes.set(xlim=(-3, 3), ylim=(-3, 3), xlabel="$z_1$", ylabel="$z_2$", aspect="equal")
axes.set_title("light: unlike every training image")
for panel, (mark, n) in zip(right.subplots(4, 4).flat, marked.items(), strict=True):
    panel.imshow(pictures[n, ..., 0], cmap="gray")
    panel.set(xticks=[], yticks=[])
    panel.set_title(f"{mark}: {nearest[n]:.2f}", size=9)
right.suptitle("their images, with this distance", size=10)
plt.show()

# %% [markdown]
# The samples that are not digits lie on the light ridges *between* the codes of different digits, or where there are no codes at all. A decoder is a continuous function: on the way from the codes of one
# digit to those of the next, its image has to change from one into the other, and halfway it is a blend that resembles neither. Where codes of several digits overlap, the
# best image for the loss is the mean of theirs, which is a blend too.
#
# A second cause are *holes*. The decoder was trained on draws from q(z|x) for all x, together the *aggregate posterior* q(z) = (1/N) Σ q(z|xₙ). Samples come from the prior.
# Where p(z) puts mass and q(z) does not, log q(z) − log p(z) is far below 0, and no training image has ever corrected the image there: it may be a digit, but nothing
# sees to it. Both causes in numbers:

# %%
by_image = q.log_prob(z[:, None])
log_q = by_image.logsumexp(1) - np.log(len(test))
is_hole = (log_q - model.vae.prior().log_prob(z)).numpy() < -1  # q(z) is less than 37 % of p(z)
share = np.stack([by_image.softmax(1).numpy()[:, labels == digit].sum(1) for digit in range(10)]).max(0)
for name, chosen in {
    "among the codes of one digit (90 % of q(z) or more)": ~is_hole & (share >= 0.9),
    "between the codes of several": ~is_hole & (share < 0.9),
    "in a hole (log q(z) − log p(z) < −1)": is_hole,
}.items():
    print(f"{chosen.sum():3} of {len(z)} samples {name:51}: mean distance {nearest[chosen].mean():.3f}")

generator = torch.Generator().manual_seed(1)
draws = q.sample(generator, 20).flatten(0, 1)
draws = draws[torch.randperm(len(draws), generator=generator)[:2000]]  # each is compared with all images
inside = q.log_prob(draws[:, None]).logsumexp(1) - np.log(len(test)) - model.vae.prior().log_prob(draws)
print(f"KL(q(z) || p(z)) = {float(inside.mean()):.3f} nats: what is left between the codes of all images and the prior")

# %% [markdown]
# The rate pulls every single q(z|x) towards the prior, and so closes the holes only on average. Two remedies change the prior rather than the codes: learn it together with
# the model (`--recipe vampprior`), or fit one to the codes afterwards (`lb.fit_prior`), as here:

# %% alt="Forty samples with the fitted prior in two rows"
if not Path("runs/learn-mixture").exists():
    lb.fit_prior(run, out="runs/learn-mixture", components=20)
better = lb.load("runs/learn-mixture")
fitted = distance(better.generate(len(z), seed=0))
print(
    f"mean distance of {len(z)} samples: {nearest.mean():.3f} with N(0, I), {fitted.mean():.3f} with the fitted prior"
)
plt.figure(figsize=(8, 1.2))
plt.imshow(tiles(better.generate(40, seed=0), 20), cmap="gray")
plt.axis("off")
plt.title("samples with a prior fitted to the codes", size=9)
plt.show()

# %% [markdown]
# A prior that follows the codes has no holes to draw from. The blends become fewer, but do not vanish: a decoder of two latents has to put ten digits next to one another, and
# passes from one to the next somewhere. More latents leave more room between them.

# %% [markdown]
# ## Exercises
#
# 1. Draw z from a normal of half the standard deviation (a *temperature* of 0.5; `model.generate(40, temperature=0.5)`). What improves, and what is lost?
# 2. Walk from the mean of a 0 to the mean of a 1 in ten steps, and decode. Through which digits does the way lead? Check with the scatter plot.
# 3. Which of the texts' grids would miss some of your codes?
#
# <details><summary>Answers</summary>
#
# 1. There are fewer non-digits, and less variety: the digits on the outside of the plane are missing.
# 2. The digits between the two regions of the plot. The straight line is not the shortest way in terms of images.
# 3. The even grid from −1 to 3 in one direction: codes are spread around 0, because the rate centres them, and which way up a plane is is chance.
#
# </details>
