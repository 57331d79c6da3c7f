# %% [markdown]
# # 4. Training it
#
# Training minimises −ELBO = distortion + rate. Both terms have curves of their own, and most of what can go wrong shows in one of them before it shows in
# the sum. In this lesson you train a model by hand, watch its latent space form, break it, and let the program find what is broken.

# %%
import matplotlib.pyplot as plt
import torch

import lowerbound as lb

run = lb.lesson_run()
model, splits = run.model, run.splits()

# %% [markdown]
# ## The curves
#
# Every run keeps a record for each epoch. Before the first step the rate is near zero, because codes say nothing and cost nothing. Within few epochs it rises
# steeply, often too far, while the decoder cannot read them yet; it falls again, and then the model spends rate where it saves more distortion.

# %% alt="Three curves over epochs, for training and validation data: the ELBO rises, the distortion falls, the rate first drops and then rises"
epochs = [record["epoch"] for record in run.results.history]
figure, panels = plt.subplots(1, 3, figsize=(9, 2.4), sharex=True)
for panel, term in zip(panels, ("elbo", "distortion", "rate"), strict=True):
    for split in ("train", "validation"):
        panel.plot(epochs, [record[split][term] for record in run.results.history], label=split)
    panel.set(title=term, xlabel="epoch")
    last = [record["validation"][term] for record in run.results.history][len(epochs) // 10 :]
    panel.set_ylim(min(last) - 0.5, max(last) + 0.5)  # without the first tenth, which would set the scale
panels[0].legend()
figure.tight_layout()
plt.show()

# %% [markdown]
# The validation curve is that of images which the weights were not fitted to. Where it turns while the training curve goes on, the model begins to overfit, and
# *early stopping* ends the run: the second text's `EarlyStopping(patience=2)` is `training.patience = 2` here. The best weights are restored, where the text keeps
# the last ones. (The text watches the test images. Then no number of that split is held out any more; reports of `tutorial-conv` say so.)
#
# ## The latent space forms
#
# `lb.training_steps` is the training loop as an iterator, so that you can look at the model between two epochs:

# %% alt="Codes of the test images in the latent plane after epochs 1, 3, 10 and 30: from one small cloud, groups of equal digits spread apart"
config = lb.TrainingConfig(num_epochs=30, batch_size=128, learning_rate=2e-3)
fresh = lb.build_model(
    lb.ModelConfig(hidden=(512,), latent_dim=2), splits.train.event_shape, torch.Generator().manual_seed(0)
)
images, labels = splits.test.values[:300], splits.test.labels[:300]
x = torch.from_numpy(images).permute(0, 3, 1, 2) / splits.test.max_value

shown, kept = (1, 3, 10, 30), {}
for record in lb.training_steps(fresh, splits, lb.Objective(), config):
    if record.validation is not None and record.epoch in shown:
        with torch.no_grad():
            kept[record.epoch] = fresh.encode(x).mean.numpy()
        print(
            f"epoch {record.epoch:3}: validation ELBO {record.validation.elbo:7.2f} = -({record.validation.distortion:.2f} + {record.validation.rate:.2f})"
        )

figure, panels = plt.subplots(1, 4, figsize=(9, 2.5), sharex=True, sharey=True)
for panel, (epoch, codes) in zip(panels, kept.items(), strict=True):
    panel.scatter(*codes.T, c=labels, s=5, cmap="tab10")
    panel.set(title=f"epoch {epoch}", xlim=(-3.5, 3.5), ylim=(-3.5, 3.5), aspect="equal")
figure.tight_layout()
plt.show()

# %% [markdown]
# ## Collapse
#
# If the rate is too expensive, the model stops using its codes: q(z|x) becomes the prior for every x, and the decoder the mean image. This is *posterior collapse*.
# A weight of β = 100 on the rate does it for any digits; for the small ones 10 is enough:

# %%
source = run.results.context["data"]["name"]  # the data of the healthy run
epochs = 15 if source == "digits" else 3  # MNIST has forty times as many images
collapsed = lb.train(source, recipe="dense", epochs=epochs, settings={"objective": {"rate_weight": 100}})
for name in ("elbo", "rate", "distortion", "z-free-distortion"):
    healthy, broken = run.results.score(name), collapsed.results.score(name)
    print(f"{name:18} healthy {healthy.value:7.2f}   collapsed {broken.value:7.2f} nats")

# %% [markdown]
# Its distortion is that of the best decoder that ignores z. In each latent, a collapsed posterior has μ near 0 and σ near 1 for *every* image: the prior. (A single latent can
# collapse while others work: its rate is then 0, in the report's figure of the rate of each latent.)

# %%
for name, one in {"healthy": run, "collapsed": collapsed}.items():
    q = one.model.encode(one.splits().test.values)
    print(
        f"{name:9} μ from {q.mean.min():5.2f} to {q.mean.max():.2f},"
        f" σ from {q.standard_deviation.min():.2f} to {q.standard_deviation.max():.2f}"
    )

# %% [markdown]
# The diagnosis names it, with the measured value, its threshold and a remedy:

# %%
for finding in lb.diagnose(collapsed):
    print(
        f"- {finding.name}: {finding.sentence}\n    measured {finding.number:.3g} {finding.unit}, threshold {finding.threshold:g}\n    {finding.remedy}"
    )
print("the healthy run:", [finding.name for finding in lb.diagnose(run)] or "no problems found")

# %% [markdown]
# ## Dead units
#
# A ReLU that outputs zero for every image has no gradient, and stays dead. The second text's encoder ends in a layer of only 16; with some seeds 12 or 14 of them
# die, and the run ends several nats worse than with others ([reproducing](../reproducing.md#the-tutorials-models-and-conv)). Count those of the hidden layer here:

# %%
activations = []
hook = next(layer for layer in model.vae.encoder.modules() if isinstance(layer, torch.nn.ReLU)).register_forward_hook(
    lambda layer, inputs, output: activations.append(output)
)
with torch.no_grad():
    model.vae.encode(x)
hook.remove()
dead = int((activations[0] <= 0).all(dim=0).sum())
print(f"{dead} of {activations[0].shape[1]} units are zero for all of {len(x)} test images")

# %% [markdown]
# ## Exercises
#
# 1. Which learning rate breaks the training by hand? Find one at which the loss becomes NaN, and read the message.
# 2. Train with β = 0.3 and with β = 3. Which of the two has the better ELBO, which the better distortion?
# 3. Why does the rate of a healthy run never go to zero, although the loss would be lower by it?
#
# <details><summary>Answers</summary>
#
# 1. Training stops at the first loss that is not finite, and names the likely cause.
# 2. Neither has a better ELBO than β = 1, which optimises it. With β = 0.3 the distortion is lower and the rate higher. [Lesson 6](06_compression.md) draws the curve.
# 3. Because the rate buys distortion: each nat spent on the code saves more than a nat of reconstruction, up to the optimum, where it saves exactly one.
#
# </details>
