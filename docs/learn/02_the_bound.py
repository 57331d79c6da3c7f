# %% [markdown]
# # 2. The bound
#
# Both texts derive the loss of a variational autoencoder in a few equations. Here each equation is evaluated: on one image of the run that this lesson trains, with numbers that
# agree from line to line up to their rounding (`lowerbound learn RUN` does the same for a run of yours). All are in nats, natural units of information.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch

import lowerbound as lb

torch.set_grad_enabled(False)
run = lb.lesson_run()
model, splits = run.model, run.splits()
images = splits.test.values[:100]
terms = lb.bound_terms(model, images)  # the result of this lesson, for 100 images; below we compute it step by step
number = int(np.argsort(terms.kl_to_posterior)[75])  # an image whose encoder is a little off
x = torch.from_numpy(images[number : number + 1])

# %% [markdown]
# ## Bayes' theorem
#
# The posterior follows from the model (second text, equation 3):
#
# $$p(z \mid x) = \frac{p(x, z)}{p(x)} = \frac{p(x \mid z)\, p(z)}{p(x)}, \qquad p(x) = \int p(x \mid z)\, p(z)\, dz$$
#
# > **Slip.** The second text leaves out p(z) under the integral. Without it the integral is not p(x), and need not even be finite.
#
# The decoder computes p(x|z) for one z at a time. p(x) is its mean over all z that the prior draws, and few of them explain a given x: which ones, nobody knows beforehand.
# A grid of 401 points a side has 401² of them with two latents, and 401¹⁶ with sixteen; that is why the integral is called intractable. With two it can be summed:

# %%
axis = torch.linspace(-5, 5, 401)
spacing = float(axis[1] - axis[0])
grid = torch.cartesian_prod(axis, axis)
log_likelihood = torch.cat([model.decode(part).log_prob(x) for part in grid.split(4000)])
log_joint = log_likelihood + model.vae.prior().log_prob(grid)  # log p(x, z) = log p(x|z) + log p(z)
log_evidence = float(log_joint.double().logsumexp(0)) + 2 * math.log(spacing)
print(
    f"log p(x) = {log_evidence:.3f} on a grid of {len(grid):,} points; the library's quadrature: {terms.log_evidence[number]:.3f}"
)

# %% [markdown]
# So for every z we know the true posterior, log p(z|x) = log p(x, z) − log p(x). Next to it, the encoder's approximation:

# %% alt="The exact posterior of one image as blue shades in the latent plane, and q(z|x) as orange ellipses that cover it"
q = model.encode(images[number : number + 1])
posterior = (log_joint - log_evidence).exp().reshape(401, 401)
approximation = q.log_prob(grid).exp().reshape(401, 401)
print(
    f"both integrate to one: {float(posterior.sum()) * spacing**2:.4f} and {float(approximation.sum()) * spacing**2:.4f}"
)

figure, axes = plt.subplots(figsize=(4, 4))
axes.contourf(axis, axis, posterior.T, levels=8, cmap="Blues")
axes.contour(axis, axis, approximation.T, levels=4, colors="C1")
reach = 4 * q.standard_deviation[0]
axes.set(xlabel="$z_1$", ylabel="$z_2$", title="p(z|x) in blue, q(z|x) in orange")
axes.set(
    xlim=(q.mean[0, 0] - reach[0], q.mean[0, 0] + reach[0]), ylim=(q.mean[0, 1] - reach[1], q.mean[0, 1] + reach[1])
)
plt.show()

# %% [markdown]
# ## The distance between the two
#
# Their difference is measured by the Kullback–Leibler divergence (second text, equation 4),
#
# $$\mathrm{KL}\left(q(z \mid x) \,\|\, p(z \mid x)\right) = \mathbb{E}_q\left[\log q(z \mid x) - \log p(z \mid x)\right]$$
#
# With Bayes' theorem (equation 5, and 6 without the minimum):
#
# $$\mathrm{KL}\left(q(z \mid x) \,\|\, p(z \mid x)\right) = \mathbb{E}_q\left[\log q(z \mid x) - \log p(x, z)\right] + \log p(x)$$
#
# > **Slip.** In equations 5 and 6 the second text subtracts log p(x). log p(z|x) contains −log p(x) and enters with a minus sign, so log p(x) is *added*.
# > Numbers show it at once:

# %%
weight = approximation.flatten() * spacing**2  # q(z|x) dz
log_q = q.log_prob(grid)
kl = float((weight * (log_q - (log_joint - log_evidence))).sum())
first_term = float((weight * (log_q - log_joint)).sum())
print(f"KL(q || p(z|x)), by its definition:      {kl:.3f}")
print(
    f"E_q[log q - log p(x, z)] + log p(x):     {first_term:.3f} + ({log_evidence:.3f}) = {first_term + log_evidence:.3f}"
)
print(
    f"with the sign of the text:               {first_term:.3f} - ({log_evidence:.3f}) = {first_term - log_evidence:.3f}"
)

# %% [markdown]
# log p(x) does not depend on q. So the q with the smallest divergence can be found without knowing log p(x) (equation 7): minimise the first term. This is what
# makes the method work.
#
# ## The evidence lower bound
#
# The negative of that term is the ELBO. A KL divergence is never negative, so the ELBO is never above log p(x):
#
# $$\log p(x) = \mathrm{ELBO} + \mathrm{KL}\left(q(z \mid x) \,\|\, p(z \mid x)\right)$$

# %%
elbo = -first_term
print(f"log p(x) {log_evidence:.2f} = ELBO {elbo:.2f} + KL {kl:.2f}")

# %% [markdown]
# Written with the prior in place of the joint distribution, this is the first text's equation 1:
#
# $$\mathrm{ELBO} = \mathbb{E}_q\left[\log p(x \mid z)\right] - \mathrm{KL}\left(q(z \mid x) \,\|\, p(z)\right)$$
#
# **The second term**, the rate, has a closed form for normals (the first text's equation 3 is its negative):
#
# $$\mathrm{KL}\left(q(z \mid x) \,\|\, p(z)\right) = \frac{1}{2} \sum_j \left(\mu_j^2 + \sigma_j^2 - 1 - \log \sigma_j^2\right)$$
#
# > **Slip.** In its last formula, the loss, the first text loses the ½. That doubles the weight of the rate, which is another objective (β = 2).

# %%
mu, variance = q.mean[0], q.variance[0]
rate = float(0.5 * (mu**2 + variance - 1 - variance.log()).sum())
on_grid = float((weight * (log_q - model.vae.prior().log_prob(grid))).sum())
print(f"rate in closed form {rate:.4f}, summed over the grid {on_grid:.4f}; without the 1/2: {2 * rate:.4f}")

# %% [markdown]
# **The first term**, the expected log-likelihood, is estimated by draws from q. Its negative is the distortion. For a Gaussian likelihood with the standard deviation σ the
# distortion would be C ‖x − x'‖² plus a constant, with C = 1/(2σ²) (first text, equation 2): a multiple of the squared error.
#
# > **Slip.** Equation 2 leaves the constant out, −D/2 log(2πσ²). It does not change the gradient for fixed σ; but without it the term is not a
# > log-likelihood, and runs with different σ cannot be compared.
#
# The likelihood of this run is Bernoulli, so that the distortion is the cross-entropy of the second text's code, summed over pixels: the text multiplies a mean by
# 28 · 28, which is the same.

# %%
draws = q.sample(torch.Generator().manual_seed(0), 1000)
log_p = model.decode(draws[:, 0]).log_prob(x)
print("log p(x|z) of the first draws:", log_p[:5].numpy().round(2))
print(
    f"distortion {-float(log_p.mean()):.2f} ± {float(log_p.std()) / 1000**0.5:.2f}, summed over the grid {-float((weight * log_likelihood).sum()):.2f}"
)

pixels, probabilities = x.double() / splits.test.max_value, model.decode(draws[0]).mean.double() / splits.test.max_value
cross_entropy = -(pixels * probabilities.log() + (1 - pixels) * (1 - probabilities).log())
print(
    f"the first draw again, as {pixels.numel()} × the mean cross-entropy: {-pixels.numel() * float(cross_entropy.mean()):.2f}"
)

# %% [markdown]
# Everything together, for this image and as a mean over a hundred of them:

# %%
print(f"-ELBO = {-elbo:.2f} = distortion {-float((weight * log_likelihood).sum()):.2f} + rate {rate:.2f}")
print(
    f"mean of 100 images: log p(x) {terms.log_evidence.mean():.2f} = ELBO {terms.elbo.mean():.2f} + KL {terms.kl_to_posterior.mean():.2f};"
    f" -ELBO = {terms.distortion.mean():.2f} + {terms.rate.mean():.2f}"
)

# %% [markdown]
# ## Exercises
#
# 1. Find the image among the hundred with the largest KL, and draw its two posteriors as above. What is wrong with the encoder's?
# 2. The encoder is removed, and q(z|x) is the prior for every image. What are rate, distortion and KL?
# 3. A model has a better ELBO than another, on the same images. Does it have a better log p(x)?
#
# <details><summary>Answers</summary>
#
# 1. Set `number = int(terms.kl_to_posterior.argmax())` and run the cells again. Often the true posterior has its mass somewhere else: the encoder has taken the
#    digit for another one.
# 2. The rate is 0, and the distortion is that of decoding codes that have nothing to do with the image. The KL becomes KL(p(z) ‖ p(z|x)), which is large where
#    the posterior is narrow.
# 3. Not necessarily. ELBO = log p(x) − KL: the first may only have the better encoder. [Lesson 7](07_how_good_is_the_bound.md) separates the two.
#
# </details>
