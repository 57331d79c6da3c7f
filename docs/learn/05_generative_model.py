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
    """Images in rows, as one picture."""
    rows = [np.concatenate(list(images[start : start + columns]), axis=1) for start in range(0, len(images), columns)]
    return np.concatenate(rows, axis=0)[..., 0]


# %% [markdown]
# ## Where the images lie
#
# Each test image at the mean of its posterior. The labels were never used in training:

# %%
figure, axes = plt.subplots(figsize=(5, 4.2))
dots = axes.scatter(*q.mean.T, c=labels, s=8, cmap="tab10", vmin=-0.5, vmax=9.5)
figure.colorbar(dots, ticks=range(10))
for radius in (1, 2, 3):
    axes.add_patch(plt.Circle((0, 0), radius, fill=False, linestyle=":", color="grey"))
axes.set(xlabel="$z_1$", ylabel="$z_2$", aspect="equal", title="posterior means, and the prior at 1, 2 and 3 σ")
plt.show()

# %% [markdown]
# ## The manifold
#
# The decoder's answer to every point of a grid. The first text describes its tiles as random samples from the unit normal; a grid is not random. The second text's grid
# is even, from −2 to 2 and from −1 to 3, which is where its codes happened to lie. A grid on the quantiles of the prior, (i − ½)/n for i = 1 … n, gives every
# tile the same probability, and needs no look at the codes:


# %%
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

# %%
z = model.vae.prior().sample(torch.Generator().manual_seed(0), 400)
pictures = model.decode(z).mean.numpy()
plt.figure(figsize=(6, 2.4))
plt.imshow(tiles(pictures[:40], 20), cmap="gray")
plt.axis("off")
plt.show()

# %% [markdown]
# ## Why some are not digits
#
# The decoder was trained on codes of images: draws from q(z|x) for all x, together the *aggregate posterior* q(z) = (1/N) Σ q(z|xₙ). Samples come from the prior. Where p(z)
# puts mass and q(z) does not, in *holes*, the decoder interpolates without ever having been corrected. log q(z) − log p(z) measures it at every sample:

# %%
log_q = q.log_prob(z[:, None]).logsumexp(1) - np.log(len(test))
surplus = (log_q - model.vae.prior().log_prob(z)).numpy()
order = surplus.argsort()
figure, panels = plt.subplots(2, 1, figsize=(8, 1.8))
for panel, chosen, title in ((panels[0], order[:20], "in holes"), (panels[1], order[-20:], "where there are codes")):
    panel.imshow(tiles(pictures[chosen], 20), cmap="gray")
    panel.set(xticks=[], yticks=[])
    panel.set_title(
        f"{title}: log q(z) − log p(z) from {surplus[chosen].min():.1f} to {surplus[chosen].max():.1f}", size=9
    )
figure.tight_layout()
plt.show()

draws = q.sample(torch.Generator().manual_seed(1), 20).flatten(0, 1)
inside = q.log_prob(draws[:, None]).logsumexp(1) - np.log(len(test)) - model.vae.prior().log_prob(draws)
print(f"KL(q(z) || p(z)) = {float(inside.mean()):.3f} nats: what is left between the codes of all images and the prior")

# %% [markdown]
# The rate pulls every single q(z|x) towards the prior, and so closes the holes only on average. Two remedies change the prior rather than the codes: learn it together with
# the model (`--recipe vampprior`), or fit one to the codes afterwards (`lb.fit_prior`), as here:

# %%
if not Path("runs/learn-mixture").exists():
    lb.fit_prior(run, out="runs/learn-mixture", components=20)
better = lb.load("runs/learn-mixture")
plt.figure(figsize=(6, 2.4))
plt.imshow(tiles(better.generate(40, seed=0), 20), cmap="gray")
plt.axis("off")
plt.title("samples with a prior fitted to the codes", size=9)
plt.show()

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
