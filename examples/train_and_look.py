"""The Python interface on one page: train on the bundled digits, read the scores, use the model.

python examples/train_and_look.py [OUT]
"""

import sys
from pathlib import Path

import numpy as np
import torch

import lowerbound as lb


def main(out: Path, num_epochs: int = 30) -> None:
    run = lb.train("digits", recipe="dense", out=out, epochs=num_epochs)
    elbo = run.results.score("elbo")
    assert elbo is not None
    print(
        f"ELBO {elbo.value:.2f} ± {elbo.standard_error:.2f} {elbo.unit}, {elbo.split} split, {elbo.convention} pixels"
    )
    print(f"report: {run.path / 'report.html'}")

    model = lb.load(run.path)
    images = np.rint(model.generate(4))  # N×H×W×C, 0 to 16, the stored units
    posterior = model.encode(images)  # q(z|x)
    likelihood = model.decode(posterior.mean)  # p(x|z)
    print(f"codes of four new images: {posterior.mean.tolist()}")
    print(f"log p(x|z) of each, in nats: {likelihood.log_prob(torch.from_numpy(images)).tolist()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("runs/example"))
