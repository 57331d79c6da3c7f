# %% [markdown]
# # 3. The reparameterisation trick
#
# The bound of [lesson 2](02_the_bound.md) is an expectation over draws from q(z|x). To train the encoder we need its derivative with respect to μ and σ, on which
# the *distribution* of the draws depends. The first text stops here: a draw comes out of a random number generator, and is not a function of μ and σ with a derivative, so
# that backpropagation ends at z and never reaches the encoder. The second text's `sampling` function is the way out. In this lesson you see what it does, and measure what it is worth.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

import lowerbound as lb

run = lb.lesson_run()
model, splits = run.model, run.splits()
image = splits.test.values[4:5]
q = model.encode(image)
mu, sigma = q.mean[0], q.standard_deviation[0]

# %% [markdown]
# ## Draw the noise first
#
# $$z = \mu + \sigma \odot \varepsilon, \qquad \varepsilon \sim \mathcal{N}(0, I)$$
#
# (second text, equation 1). ε comes from a distribution without parameters. Given ε, z is an ordinary, differentiable function of μ and σ: ∂z/∂μ = 1 and ∂z/∂σ = ε.
#
# σ has to be positive, and the output of a linear layer can be any number. So the encoder outputs log σ², and exp(½ log σ²) = σ is positive whatever it is (equation 2).

# %% alt="An image x, and the images decoded from z for eight values of ε: the further ε is from 0, the more the image differs"
log_variance = q.log_variance[0]
print(
    "log σ²",
    log_variance.numpy().round(3),
    " exp(½ log σ²)",
    (0.5 * log_variance).exp().numpy().round(3),
    " σ",
    sigma.numpy().round(3),
)

epsilons = torch.tensor([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1], [2, 0], [0, 2], [2, 2.0]])
codes = mu + sigma * epsilons
decoded = model.decode(codes).mean.numpy()[..., 0]

figure, panels = plt.subplots(1, len(codes) + 1, figsize=(9, 1.6))
panels[0].imshow(image[0, ..., 0], cmap="gray")
panels[0].set_title("x", size=8)
for panel, epsilon, picture in zip(panels[1:], epsilons, decoded, strict=True):
    panel.imshow(picture, cmap="gray")
    panel.set_title(f"ε = ({epsilon[0]:.0f}, {epsilon[1]:.0f})", size=8)
for panel in panels:
    panel.set(xticks=[], yticks=[])
plt.show()

# %% [markdown]
# As ε moves, z moves within its ellipse, and the reconstruction changes a little. If it changes much, the decoder is punished for most draws: training makes σ as
# wide as the decoder tolerates, and makes neighbouring codes decode to similar images.
#
# ## With and without the trick
#
# Let f(z) = log p(x|z) + log p(z) − log q(z|x), the bound of one draw. Its expectation has the derivative
#
# - without the trick, by the *score function*: E_q[f(z) ∇ log q(z|x)];
# - with it: E_ε[∇ f(μ + σ ε)].
#
# Both are correct. Compare them for ∂/∂μ₁ of our image, 2,000 draws each:

# %% alt="Histograms of gradient estimates: those of the score function are spread over hundreds, those with the trick lie in a narrow peak around the same mean"
vae, x = model.vae, torch.from_numpy(image).permute(0, 3, 1, 2) / splits.test.max_value
generator = torch.Generator().manual_seed(0)


def bound_of(z, mean, deviation):
    """log p(x, z) - log q(z|x) for each draw."""
    log_q = torch.distributions.Normal(mean, deviation).log_prob(z).sum(-1)
    return vae.log_joint(x, z[:, None])[:, 0] - log_q, log_q


def with_the_trick(number):
    mean = mu.repeat(number, 1).requires_grad_()
    z = mean + sigma * torch.randn(number, 2, generator=generator)
    value, _ = bound_of(z, mean, sigma)
    return torch.autograd.grad(value.sum(), mean)[0]


def without(number):
    mean = mu.repeat(number, 1).requires_grad_()
    z = (mean + sigma * torch.randn(number, 2, generator=generator)).detach()  # the way back to mean is cut
    value, log_q = bound_of(z, mean, sigma)
    return torch.autograd.grad((value.detach() * log_q).sum(), mean)[0]


pathwise, score = with_the_trick(2000)[:, 0], without(2000)[:, 0]
for name, values in {"with the trick": pathwise, "score function": score}.items():
    print(
        f"{name:16} mean {float(values.mean()):8.3f} ± {float(values.std()) / 2000**0.5:.3f}, variance of one draw {float(values.var()):.1f}"
    )
print(f"the score function has {float(score.var() / pathwise.var()):.0f} times the variance")

plt.figure(figsize=(6, 2.2))
reach = float(score.abs().quantile(0.99))
bins = np.linspace(-reach, reach, 60)
plt.hist(score.numpy(), bins, alpha=0.6, label="score function")
plt.hist(pathwise.numpy(), bins, alpha=0.6, label="with the trick")
plt.yscale("log")
plt.xlabel("estimates of ∂ELBO/∂μ₁, one draw each")
plt.legend()
plt.show()

# %% [markdown]
# The means agree within their errors; the variances differ by the factor printed last. The score function multiplies by f, whose value is large whatever z is; subtracting
# a constant, a *baseline*, changes no expectation and removes most of the variance, but not all.
#
# `lb.gradients` measures all estimators that the library has, on several images and also for the encoder's weights:

# %%
bench = lb.gradients(run, num_examples=4, num_estimates=300)
print(f"variance of one estimate of the gradient in μ, {bench.num_examples} images, {bench.bound_in_words}")
for row in bench.estimators:
    if not row.left_out:
        found = row.statistics["mean"].variance
        print(f"  {row.name:28} {found.value:10.2f} ± {found.standard_error:.2f}   ({row.about})")

# %% [markdown]
# - `score-function-…` differ in their baseline.
# - `measure-valued` needs no derivative of f either: it takes differences of f at pairs of draws. It decodes several codes for each draw.
# - `stl`, sticking the landing (Roeder et al., 2017, one of the first text's references), leaves out a part of the pathwise gradient, the score of q, whose
#   expectation is zero. The closer q is to p(z|x), the less noise remains.
#
# In training, the setting is `objective.gradient`.
#
# ## Exercises
#
# 1. Multiply σ by 0.1 in the comparison. Which of the two variances grows, and why?
# 2. Subtract the mean of `value` in `without` before multiplying. How much of the variance remains?
# 3. Why does nobody use the pathwise gradient for one-hot codes?
#
# <details><summary>Answers</summary>
#
# 1. That of the score function, by about 100: ∇ log q = (z − μ)/σ² = ε/σ. The pathwise gradient is ∇f at points that move closer together.
# 2. In the list above, compare `score-function-none` and `score-function-mean`.
# 3. A one-hot code is a step function of any noise: its derivative is zero wherever it exists. Relaxations (Gumbel-softmax) replace the step by a slope.
#
# </details>
