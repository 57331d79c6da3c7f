# %% [markdown]
# # 1. From the graphical model to the network
#
# You have read that a variational autoencoder is a graphical model whose distributions are computed by networks. In this lesson you train one and take
# a single image through it, tensor by tensor.
#
# The lessons accompany [two introductions](index.md#the-two-texts): *Implementation of VAE* ("the first text", which writes h for the latent variable; we write z) and
# *A Step Up with Convolutional Variational Autoencoders* by Jake Tae ("the second text"). You need neither to follow, but equation numbers are theirs.
#
# The data are 1,797 handwritten digits of 8×8 pixels that come with scikit-learn. With the environment variable `LOWERBOUND_LESSONS=mnist`, lessons 1 to 7
# and 10 use MNIST instead (8 and 9 have data of their own); training then takes minutes rather than seconds.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

import lowerbound as lb

run = lb.lesson_run()  # trains a small model in runs/learn, or loads it if it is there
model, splits = run.model, run.splits()
print(run)

# %% [markdown]
# ## The graphical model
#
# A latent code z is drawn from the prior p(z), and an image x from the likelihood p(x|z). That is the whole generative model: one arrow from z to x, inside a
# plate that repeats it for every image. The weights θ of the decoder stand outside of the plate, because all images share them. To find out which z produced
# an image, the arrow has to be reversed. The exact answer, the posterior p(z|x), is an intractable integral away, so a second network with the weights φ, the
# encoder, computes an approximation q(z|x): the dotted arrow of the first text.
#
# | in the graphical model | in this program |
# |---|---|
# | x, observed | an image of 64 numbers, in the units of the data from 0 to 16, which the network sees as 0 to 1 |
# | z (h in the first text), latent | a vector of 2 numbers |
# | p(z), prior | `model.vae.prior()`, a standard normal without weights |
# | p(x\|z), likelihood | `model.decode(z)`: the decoder's output, as the means of a Bernoulli distribution for each pixel, in the units of the data |
# | q(z\|x), approximate posterior | `model.encode(x)`: the encoder's output, as mean and variance of a normal |
# | p(x), evidence | computed by no network; [lesson 2](02_the_bound.md) integrates it |
#
# Each of these is an object with `log_prob`, not just a tensor:

# %%
image = splits.test.values[:1]  # one image as it is stored: N × height × width × channel
q = model.encode(image)
z = q.sample(torch.Generator().manual_seed(0), 1)[0]  # one draw
p = model.decode(z)
print("prior       ", model.vae.prior())
print(
    "posterior   ", type(q).__name__, "with mean", q.mean.numpy().round(2), "and variance", q.variance.numpy().round(3)
)
print("likelihood  ", "log p(x|z) =", p.log_prob(torch.from_numpy(image)).numpy().round(2), "nats")

# %% [markdown]
# ## One image on its way
#
# The encoder maps the image to two means and two log-variances. Noise ε, which no weight influences, turns them into a code z = μ + σ ε. The decoder maps z to
# the mean of p(x|z), an image again.

# %%
mu, sigma = q.mean, q.standard_deviation
epsilon = torch.randn(mu.shape, generator=torch.Generator().manual_seed(1))
z = mu + sigma * epsilon
decoded = model.decode(z).mean.numpy()

for name, tensor in {"x": image, "mu": mu, "sigma": sigma, "epsilon": epsilon, "z": z, "decoded": decoded}.items():
    print(f"{name:8} shape {tuple(tensor.shape)}  first values {np.asarray(tensor).ravel()[:4].round(2)}")

# %% alt="A test image x; its q(z|x) as ellipses in the latent plane, with one draw z; and the mean of p(x|z), a blurred image of the same digit"
figure, panels = plt.subplots(1, 3, figsize=(7, 2.4), width_ratios=[1, 1.3, 1])
panels[0].imshow(image[0, ..., 0], cmap="gray")
panels[0].set(title="x", xticks=[], yticks=[])
angle = torch.linspace(0, 2 * torch.pi, 100)
circle = torch.stack([angle.cos(), angle.sin()], dim=1)
for scale in (1, 2):
    panels[1].plot(*(mu + scale * sigma * circle).T, "C1")
panels[1].plot(*mu[0], "C1+", label="μ")
panels[1].plot(*z[0], "ko", label="z = μ + σ ε")
panels[1].set(title="q(z|x), at 1 and 2 σ", xlim=(-3, 3), ylim=(-3, 3), aspect="equal")
panels[1].legend(fontsize=7, loc="lower left")
panels[2].imshow(decoded[0, ..., 0], cmap="gray")
panels[2].set(title="mean of p(x|z)", xticks=[], yticks=[])
figure.tight_layout()
plt.show()

# %% [markdown]
# ## The networks
#
# Between these tensors there are ordinary layers. The first text's model for MNIST has one hidden layer of 512 units on either side; so has this one (recipe
# `dense`). The second text's is convolutional; `lowerbound summary tutorial-conv` prints it, with the text's 69,076 and 65,089 parameters.

# %%
encoder, decoder = model.vae.layers()
for title, layers in {"encoder": encoder, "decoder": decoder}.items():
    print(title)
    for layer in layers:
        print(f"  {layer.name:12} {layer.kind:8} output {layer.output_shape}, {layer.num_parameters:,} parameters")

# %% [markdown]
# ## Exercises
#
# 1. Encode the same image ten times. Do μ and σ change? Does z?
# 2. Set ε to zero and decode. What is the difference from the reconstruction above?
# 3. Which of the objects above would you need to *generate* a digit, and which not?
#
# <details><summary>Answers</summary>
#
# 1. μ and σ are functions of the image and do not change. z does: it is drawn.
# 2. With ε = 0 the code is the posterior's mean, and the picture is the reconstruction that reports show. Other draws give slightly different pictures, all of
#    which the decoder must accept as codes of this image.
# 3. Prior and decoder. The encoder is only needed to find codes of given images, and to train the decoder.
#
# </details>
