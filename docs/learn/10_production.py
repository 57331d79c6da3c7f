# %% [markdown]
# # 10. Take it to production
#
# A trained model is a folder. Here it becomes a service that other programs call, a file that runs without this package, and a page that needs nothing but a
# browser.

# %%
import io
import json
import subprocess
import sys
import time
from urllib.request import Request, urlopen

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import lowerbound as lb

run = lb.lesson_run()
model, splits = run.model, run.splits()
image = splits.test.values[0]
print(*sorted(path.name for path in run.path.iterdir()), sep="\n")

# %% [markdown]
# `model.safetensors` has the weights and the schema of the data: shape, range, names of columns. Nothing in the folder is a pickle, so that a run from someone else can be
# opened without running their code. Its parts carry checksums.
#
# ## A service
#
# `lowerbound serve RUN` starts it. Port 0 picks a free one; the first line that it prints is the address.

# %%
server = subprocess.Popen(
    [sys.executable, "-m", "lowerbound", "serve", f"digits={run.path}", "--port", "0"],
    stdout=subprocess.PIPE,
    text=True,
)
address = server.stdout.readline().split()[0]
print(address)


def ask(path, content=None, kind="application/json"):
    with urlopen(Request(f"{address}{path}", content, {"Content-Type": kind})) as answer:
        return answer.read()


# %% [markdown]
# An image file of any size is read by the model's schema. The answer to `/encode` is its posterior:

# %%
file = io.BytesIO()
Image.fromarray((image[..., 0] * (255 / splits.test.max_value)).astype(np.uint8)).resize((64, 64)).save(file, "PNG")
encoded = json.loads(ask("/encode?model=digits", file.getvalue(), "image/png"))
print("the service:", encoded)
print("in process: ", model.encode(image).mean.numpy().round(3).tolist())

# %% [markdown]
# The two differ a little, because the file was enlarged and shrunk again. Numbers instead of files go through the Open Inference Protocol, which other servers speak, too. Whatever
# batch a request ends up in, its answer is the same:

# %%
x = (splits.test.values[:4].transpose(0, 3, 1, 2) / splits.test.max_value).astype(np.float32)
body = {"inputs": [{"name": "x", "shape": list(x.shape), "datatype": "FP32", "data": x.ravel().tolist()}]}
answer = json.loads(ask("/v2/models/digits.encode/infer", json.dumps(body).encode()))
means = next(np.reshape(one["data"], one["shape"]) for one in answer["outputs"] if one["name"] == "mean")
print(
    "largest difference from the model in this process:",
    abs(means - model.encode(splits.test.values[:4]).mean.numpy()).max(),
)

begin = time.perf_counter()
for _ in range(50):
    ask("/v2/models/digits.encode/infer", json.dumps(body).encode())
print(f"{(time.perf_counter() - begin) / 50 * 1000:.1f} ms a request, one after the other, client included")
server.terminate()
print("ended with status", server.wait())

# %% [markdown]
# In production: `--host`, which then requires a token, limits for sizes and queues, and `/metrics` for Prometheus ([the service](../serving.md)).
#
# ## Without this package
#
# `lb.export` writes encoder, decoder and the complete model as ONNX, and compares each with PyTorch on real examples before anything is written. It needs `pip install
# 'lowerbound[onnx]'`; the files need only a runtime.

# %% alt="Five images from the exported decoder, in a row"
exported = lb.export(run, "onnx", "runs/learn-onnx")
for part in exported.files:
    print(
        part.path.name,
        f"{part.path.stat().st_size / 1024:.0f} KiB, largest deviation from PyTorch {part.parity.deviation:.1e}",
    )

import onnxruntime  # noqa: E402

decoder = onnxruntime.InferenceSession(exported.files[1].path)
(outputs, *_) = decoder.run(None, {"z": np.float32([[0, 0], [1, 1], [-1, 1], [1, -1], [-1, -1]])})
plt.figure(figsize=(5, 1.2))
plt.imshow(np.concatenate(list(outputs[:, 0]), axis=1), cmap="gray")
plt.axis("off")
plt.show()

# %% [markdown]
# ## For a colleague
#
# `lowerbound explore RUN --offline FILE` writes the latent space with the decoder in it as one HTML file. It opens from disk, and decodes under the pointer. This is the one of the
# model of these lessons:
#
# <iframe class="live" src="../explorer-of-digits.html" title="The explorer of the digits" loading="lazy"></iframe>
#
# [Open it on a page of its own](../explorer-of-digits.html).
#
# ## Exercises
#
# 1. Send an image of 1×1 pixel, a text file, and an empty body. What does the service answer, and with which status?
# 2. Send four requests at the same time instead of one after the other. What happens to the time of each, and to the sum?
# 3. Which part of the exported model would you ship in an app that draws new digits?
#
# <details><summary>Answers</summary>
#
# 1. The image is enlarged; the others get a status of 4xx and one line of JSON that says what is accepted.
# 2. Requests that arrive together are computed in one forward pass. Each takes a little longer, all of them together less.
# 3. The decoder. The prior is a standard normal, from which any language can draw.
#
# </details>
