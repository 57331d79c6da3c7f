# %% [markdown]
# # 6. Compression and reconstruction
#
# An autoencoder compresses, a variational autoencoder does more. What exactly? You train both, look at their planes, samples and interpolations, and then move
# between them with one number, β.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

import lowerbound as lb

torch.set_grad_enabled(False)
run = lb.lesson_run()
vae, splits = run.model, run.splits()
source = run.results.context["data"]["name"]
test, labels = splits.test.values, splits.test.labels
epochs = 40 if source == "digits" else 8  # MNIST has forty times as many images

with torch.enable_grad():
    plain = lb.train(source, recipe="autoencoder", epochs=epochs).model

# %% [markdown]
# ## Two planes
#
# The same networks and the same likelihood; the autoencoder's posterior is a single point, and nothing is paid for its place.

# %% alt="Codes of the test images in two latent planes, coloured by digit: those of the variational autoencoder lie around 0 with a deviation of 1, those of the plain autoencoder are spread much further"
codes = {"variational": vae.encode(test).mean.numpy(), "plain": plain.encode(test).mean.numpy()}
figure, panels = plt.subplots(1, 2, figsize=(8.6, 3.6), layout="constrained")
for panel, (name, z) in zip(panels, codes.items(), strict=True):
    dots = panel.scatter(*z.T, c=labels, s=6, cmap="tab10", vmin=-0.5, vmax=9.5)
    panel.set(title=f"{name} autoencoder", xlabel="$z_1$", ylabel="$z_2$", aspect="equal")
    print(f"{name:12} codes: standard deviations {z.std(0).round(2)}, largest {abs(z).max():.1f}")
figure.colorbar(dots, ax=panels, ticks=range(10))
plt.show()

# %% [markdown]
# ## Reconstructions, samples, interpolations
#
# The plain autoencoder reconstructs a little better (both decode the mean of q(z|x), without a draw): it may put codes as far apart as it likes. Its codes follow no distribution, so there is nothing to draw from; a standard
# normal in place of one covers only the middle of its plane, so that its draws are few kinds of digits, whatever the data contain.


# %% alt="For both autoencoders: reconstructions of test images, decoded draws from a standard normal, and a path from a 0 to a 1"
def tiles(images, columns):
    images = np.pad(images, ((0, 0), (0, 1), (0, 1), (0, 0)))  # a black pixel between them
    rows = [np.concatenate(list(images[start : start + columns]), axis=1) for start in range(0, len(images), columns)]
    return np.concatenate(rows, axis=0)[..., 0]


def errors(model):
    return ((model.reconstruct(test) - test.astype(float)) / splits.test.max_value) ** 2


noise = torch.randn(16, 2, generator=torch.Generator().manual_seed(0))
first, second = np.flatnonzero(labels == 0)[0], np.flatnonzero(labels == 1)[0]
figure, panels = plt.subplots(3, 2, figsize=(9, 2.6))
for column, (name, model) in enumerate({"variational": vae, "plain": plain}.items()):
    ends = model.encode(test[[first, second]]).mean
    path = torch.stack([torch.lerp(ends[0], ends[1], share) for share in torch.linspace(0, 1, 16)])
    for panel, images, title in (
        (
            panels[0, column],
            model.reconstruct(test[:16]),
            f"{name}: reconstructions, squared error {errors(model).mean():.4f} per pixel",
        ),
        (panels[1, column], model.decode(noise).mean.numpy(), "decoded draws from N(0, I)"),
        (panels[2, column], model.decode(path).mean.numpy(), "from a 0 to a 1"),
    ):
        panel.imshow(tiles(images, 16), cmap="gray")
        panel.set_title(title, size=8)
        panel.set(xticks=[], yticks=[])
figure.tight_layout()
plt.show()

# %% [markdown]
# ## The rate is a number of bits
#
# The rate is the information about the image that the code carries, in nats: a sender who shares the model with a receiver needs that many (bits: divided by log 2) to send a
# code as precisely as the decoder needs it, and distortion nats for what is missing. A smaller β buys more rate. Sweep it:

# %% alt="Distortion against rate for four values of β: a larger β has a lower rate and a higher distortion"
with torch.enable_grad():
    # The exact evidence of two images only: that of all would take longer than training it.
    fast = {"evaluation": {"num_exact": 2}}
    sweep = lb.sweep(
        source, recipe="dense", over={"objective.rate_weight": [0.2, 0.5, 1, 2]}, epochs=epochs, settings=fast
    )
betas = [point.values["objective.rate_weight"] for point in sweep.points]
rates, distortions = ([point.score(name).value for point in sweep.points] for name in ("rate", "distortion"))
elbos = [point.score("elbo").value for point in sweep.points]
for beta, rate, distortion, elbo in zip(betas, rates, distortions, elbos, strict=True):
    print(
        f"β = {beta:<4g} rate {rate:5.2f} nats = {rate / np.log(2):5.2f} bits, distortion {distortion:.2f}, ELBO {elbo:.2f}"
    )

plt.figure(figsize=(4.5, 3.2))
plt.plot(rates, distortions, "o-")
for beta, rate, distortion in zip(betas, rates, distortions, strict=True):
    plt.annotate(f"β = {beta:g}", (rate, distortion), xytext=(0, 7), textcoords="offset points", ha="center")
plt.axhline(
    run.results.score("z-free-distortion").value, linestyle=":", color="grey", label="best decoder that ignores z"
)
plt.margins(0.2)
plt.xlabel("rate (nats)")
plt.ylabel("distortion (nats)")
plt.legend(loc="center right")
plt.show()

# %% [markdown]
# How exact are these numbers? Each is a mean over the test images. The distortion is an expectation over z ~ q(z|x), estimated with a few draws for each image; the rate
# is in closed form and needs none; the ELBO has the draws of the distortion. The standard error, over images, contains the noise of the draws, but not
# the luck of training: each β was trained once, from one seed.

# %%
for name, draws in {"rate": "no draws", "distortion": "16 draws for each", "elbo": "16 draws for each"}.items():
    score = sweep.points[betas.index(1)].score(name)
    print(
        f"β = 1, {name:10}: {score.value:6.2f} ± {score.standard_error:.2f} nats, {score.num_examples} images, {draws}"
    )

# %% [markdown]
# Along the curve a nat of rate saves β nats of distortion: its slope is −β. β = 1 is where the sum, −ELBO, is smallest, up to the luck of a short training; the plain autoencoder is the end β → 0, and at the other
# end the model has collapsed. (Alemi et al., "Fixing a Broken ELBO", arXiv:1711.00464.)
#
# ## Exercises
#
# 1. How many bits does a code of the model with β = 1 have, and how many has the image, at 17 grey levels a pixel?
# 2. The plain autoencoder has two numbers of 32 bits as its code. Why is it wrong to call this a compression to 64 bits, and what is its rate?
# 3. Repeat the sweep with `"model.latent_dim": [2, 8]` besides. What happens to the curve at large rates?
#
# <details><summary>Answers</summary>
#
# 1. Rate / log 2, a little more than 3 bits; the image has at most 64 · log₂ 17 = 262 bits. The code says little more than which kind of digit it is.
# 2. The 64 bits depend on the number format, not on what the model needs. A point has no finite rate: KL(q ‖ p) is infinite.
# 3. It goes further down: with two latents there is only so much that a code can say; with eight, more rate is worth its price.
#
# </details>
