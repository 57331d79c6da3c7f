# %% [markdown]
# # 7. How good is the bound?
#
# The ELBO is what gets trained and reported, and log p(x) is what was wanted. The gap between them is KL(q(z|x) ‖ p(z|x)). How large is it, whose fault is it,
# and can the bound be tightened without a better encoder?

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch

import lowerbound as lb

run = lb.lesson_run()
model, splits = run.model, run.splits()
images = splits.test.values[:100]
terms = lb.bound_terms(model, images)
print(
    f"mean of {len(images)} images: log p(x) {terms.log_evidence.mean():.3f}, ELBO {terms.elbo.mean():.3f}, gap {terms.kl_to_posterior.mean():.3f} nats"
)
print(
    f"largest gap {terms.kl_to_posterior.max():.2f}; half of the images have less than {np.median(terms.kl_to_posterior):.3f}"
)

# %% [markdown]
# ## Importance weighting
#
# Draw K codes from q instead of one, and average the *weights* w = p(x, z)/q(z|x), not their logarithms:
#
# $$L_K = \mathbb{E}\left[\log \frac{1}{K} \sum_{k=1}^{K} \frac{p(x, z_k)}{q(z_k \mid x)}\right]$$
#
# $L_1$ is the ELBO; the bounds rise with K and approach log p(x) (Burda et al., arXiv:1509.00519). No weight of the model changes: the K draws make a better q out of the same
# encoder.

# %% alt="The importance-weighted bound against K: it rises from the ELBO towards the exact log p(x)"
with torch.no_grad():
    q, x = model.encode(images), torch.from_numpy(images)
    z = q.sample(torch.Generator().manual_seed(0), 1000)
    log_likelihood = torch.stack([model.decode(part).log_prob(x) for part in z])
    log_weight = (log_likelihood + model.vae.prior().log_prob(z) - q.log_prob(z)).double()

ks = [1, 2, 5, 10, 50, 200, 1000]
bounds = [(log_weight[: 1000 // k * k].unflatten(0, (-1, k)).logsumexp(1) - math.log(k)).mean(0) for k in ks]
for k, bound in zip(ks, bounds, strict=True):
    print(
        f"L_{k:<5} {float(bound.mean()):8.3f}   {terms.log_evidence.mean() - float(bound.mean()):.3f} nats below log p(x)"
    )

plt.figure(figsize=(5, 2.8))
plt.semilogx(ks, [float(bound.mean()) for bound in bounds], "o-", label="importance-weighted bound")
plt.axhline(terms.log_evidence.mean(), color="grey", linestyle=":", label="log p(x), exact")
plt.xlabel("K")
plt.ylabel("nats")
plt.legend()
plt.show()

# %% [markdown]
# Where q misses a part of the posterior, its draws miss it too: the estimate varies little and is still too low, except where a rare draw of great weight lifts it. The *effective sample size* (Σw)²/Σw² warns of it, though not always.

# %%
worst = int(terms.kl_to_posterior.argmax())
size = (2 * log_weight.logsumexp(0) - (2 * log_weight).logsumexp(0)).exp()
print(
    f"effective sample size of 1,000 draws: median {float(size.median()):.0f}; image {worst}, which has the largest gap: {float(size[worst]):.0f}"
)
print(
    f"that image: log p(x) {terms.log_evidence[worst]:.2f}, ELBO {terms.elbo[worst]:.2f}, L_1000 {float(bounds[-1][worst]):.2f}"
)

# %% [markdown]
# ## Whose fault is the gap?
#
# Two things keep q(z|x) from p(z|x): the *family*, a normal with independent components, and the *encoder*, one network for all images. Give one image a normal of
# its own and optimise that by gradient ascent: what it gains is the encoder's fault (the amortisation gap), what remains is the family's (the approximation gap).
# Cremer et al., arXiv:1801.03558.

# %%
chosen = np.argsort(terms.kl_to_posterior)[-20:]  # the images with the largest gaps
x = torch.from_numpy(images[chosen]).permute(0, 3, 1, 2) / splits.test.max_value
start = model.encode(images[chosen])
mean, log_sigma = start.mean.clone().requires_grad_(), (0.5 * start.log_variance).clone().requires_grad_()
optimiser = torch.optim.Adam([mean, log_sigma], lr=0.03)
noise = torch.Generator().manual_seed(0)


def elbo_of(num_draws):
    epsilon = torch.randn(num_draws, *mean.shape, generator=noise)
    z = mean + log_sigma.exp() * torch.cat([epsilon, -epsilon])  # in pairs: less noise
    rate = 0.5 * (mean**2 + (2 * log_sigma).exp() - 1 - 2 * log_sigma).sum(-1)
    return model.vae.decode(z).log_prob(x).mean(0) - rate


for _ in range(300):
    optimiser.zero_grad()
    (-elbo_of(8).sum()).backward()
    optimiser.step()
with torch.no_grad():
    best = elbo_of(500).double().numpy()

amortisation = best - terms.elbo[chosen]
approximation = terms.log_evidence[chosen] - best
print(f"the 20 images with the largest gaps, mean {terms.kl_to_posterior[chosen].mean():.3f} nats:")
print(f"  amortisation gap  {amortisation.mean():.3f}   (a normal of its own for each image)")
print(f"  approximation gap {approximation.mean():.3f}   (what no diagonal normal reaches)")

# %% [markdown]
# `lowerbound evaluate RUN` measures both gaps with a search from several starting points, draws the true posteriors next to the encoder's, and writes it all into the report.
# On MNIST, almost all of the gap of the best two-latent model is the encoder's: 6.0 of 6.3 nats ([reproducing](../reproducing.md)).
#
# ## Exercises
#
# 1. L_K is too low on average, for every K. Which average has exactly p(x) as its expectation?
# 2. Train the encoder with K = 10 draws (`settings={"objective": {"preset": "iwae"}}`). Does its ELBO rise or fall?
# 3. Start the search above from N(0, I) rather than from the encoder. For which images does it end somewhere else?
#
# <details><summary>Answers</summary>
#
# 1. The mean of the weights: E[(1/K) Σ w] = p(x) for every K. The logarithm of an unbiased estimate is too low on average (Jensen).
# 2. It may fall: the encoder then learns to cover the posterior rather than to match it, which is good for L_10 and bad for L_1.
# 3. For those whose posterior has several modes. A local search ends in the mode where it starts.
#
# </details>
