"""Train on the embedded digits, read the numbers, and use the model: the Python interface in one page.

python examples/train_and_look.py [OUT]
"""

import sys
from pathlib import Path

import torch

import lowerbound as lb


def main(out: Path, num_epochs: int = 30) -> None:
    run = lb.train("digits", recipe="dense", out=out, settings={"training": {"num_epochs": num_epochs, "min_steps": 0}})
    elbo = run.results.score("elbo")
    assert elbo is not None
    print(
        f"ELBO {elbo.value:.2f} ± {elbo.standard_error:.2f} {elbo.unit}, {elbo.split} split, {elbo.convention} pixels"
    )
    print(f"report: {run.path / 'report.html'}")

    model = lb.load(run.path)
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        images = model.generate(4, noise)  # N×C×H×W in [0, 1]
        posterior = model.encode(images)  # q(z|x)
        likelihood = model.decode(posterior.mean)  # p(x|z)
        print(f"codes of four new images: {posterior.mean.tolist()}")
        print(f"log p(x|z) of each, in nats: {likelihood.log_prob(images).tolist()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("runs/example"))
