# %% [markdown]
# # 8. Your own data
#
# Digits were a convenience. Here you train on a folder of pictures and on a table with gaps, the two kinds of data that people usually have. The program reads
# them once, says what it found, and chooses settings that fit; you can overrule every choice.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.datasets import load_wine

import lowerbound as lb

noise = np.random.default_rng(0)

# %% [markdown]
# ## A folder of pictures
#
# Crosses and discs of 16×16 pixels, one subfolder each. Subfolders become labels; formats, bit depths and sizes may be mixed.

# %%
for label in ("crosses", "discs"):
    folder = Path("shapes") / label
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(200):
        rows, columns = np.mgrid[:16, :16] - noise.integers(5, 11, (2, 1, 1))
        shape = (
            (abs(rows) < 2) | (abs(columns) < 2) if label == "crosses" else rows**2 + columns**2 < noise.integers(9, 30)
        )
        Image.fromarray((shape * noise.integers(120, 256)).astype(np.uint8)).save(folder / f"{number:03}.png")

short = {"training": {"min_steps": 1000}}  # less than would be chosen, to save time
run = lb.train("shapes", settings=short, callbacks=lb.Callbacks(message=print))

# %% [markdown]
# What was printed are the choices and their reasons. The model takes and gives images in the units of the files, 0 to 255:

# %% alt="Three rows of images: pictures of crosses and discs, their reconstructions, and generated ones"
model, splits = run.model, run.splits()
images = splits.test.values[:12]
print("stored as", images.dtype, images.shape, "from", images.min(), "to", images.max(), "; labels", splits.label_names)
rows = [images, model.reconstruct(images), model.generate(12)]
plt.figure(figsize=(8, 2.1))
plt.imshow(np.concatenate([np.concatenate(list(row), axis=1) for row in rows])[..., 0], cmap="gray")
plt.yticks([8, 24, 40], ["pictures", "reconstructed", "generated"])
plt.xticks([])
plt.show()
for name in ("elbo", "rate", "distortion"):
    score = run.results.score(name)
    print(f"{name:11} {score.value:9.2f} ± {score.standard_error:.2f} {score.unit} ({score.convention})")

# %% [markdown]
# The *convention* says what log p(x|z) means for these data. Numbers of different conventions cannot be compared, and `lb.compare` refuses to.
#
# ## A table with gaps
#
# 178 wines, 13 measurements each and the cultivar. A tenth of the cells are erased at random. A cell that is missing is left out of the likelihood, so that a
# row counts with what is known of it.

# %%
wine = load_wine()
names = [*wine.feature_names, "cultivar"]
cells = [
    [f"{value:g}" for value in row] + [wine.target_names[kind]]
    for row, kind in zip(wine.data, wine.target, strict=True)
]
complete = [list(row) for row in cells]
erased = [(row, column) for row in range(len(cells)) for column in range(13) if noise.random() < 0.1]
for row, column in erased:
    cells[row][column] = ""
Path("wine.csv").write_text("\n".join(",".join(row) for row in [names, *cells]) + "\n")

table = lb.train("wine.csv", epochs=150)
print(table)
print("columns:", ", ".join(f"{column.name} ({column.kind})" for column in table.model.schema.columns))

# %% [markdown]
# Now fill the gaps. Everything else in the file is copied byte for byte, and a second file states each imputed value with its standard deviation. We know what was erased, so
# we can check: how far are the imputed values from the truth, in standard deviations of their column, compared with filling in the column's mean?

# %%
filled = lb.impute(table, "wine.csv", "filled.csv")
rows = [line.split(",") for line in Path("filled.csv").read_text().splitlines()[1:]]
scale, centre = wine.data.std(0), np.array([[float(cell or "nan") for cell in row[:13]] for row in cells])
centre = np.nanmean(centre, axis=0)
imputed = np.array([(float(rows[r][c]) - wine.data[r, c]) / scale[c] for r, c in erased])
by_mean = np.array([(centre[c] - wine.data[r, c]) / scale[c] for r, c in erased])
print(
    f"{len(erased)} cells; root mean squared error {np.sqrt((imputed**2).mean()):.2f} by the model, {np.sqrt((by_mean**2).mean()):.2f} by the column's mean"
)
print(Path(filled.fills_path).read_text().splitlines()[0])
print(*Path(filled.fills_path).read_text().splitlines()[1:4], sep="\n")

# %% [markdown]
# ## Exercises
#
# 1. Train the shapes with `latent_dim=2` and look at `report.html`. What do the two latents mean?
# 2. Erase half of the table's cells. From how many gaps on is the column's mean as good as the model?
# 3. A column of your table has ids, another one a free text. What does `lb.train` do with them?
#
# <details><summary>Answers</summary>
#
# 1. Mostly where the shape is. Kind, size and brightness have to share what is left, so that some reconstructions show the wrong one.
# 2. Try it. The fewer cells of a row are known, the closer the imputed value is to the column's mean anyway.
# 3. It leaves both out, and says so: consecutive integers and mostly unique texts. `settings={"data": {"columns": {"id": {"kind": "numeric"}}}}` keeps one.
#
# </details>
