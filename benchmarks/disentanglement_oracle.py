"""Reference values of disentanglement metrics by `disent`, for tests/evaluation/test_factor_prediction.py.

`pip download disent==0.8.0 --no-deps` and unzip the wheel; then `python benchmarks/disentanglement_oracle.py FOLDER`,
where FOLDER contains the package `disent`. Its modules of metrics are loaded without the rest of the package, whose
dependencies they do not need.
"""

import importlib.util
import json
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import sklearn.metrics  # noqa: F401  used by disent, which imports only sklearn

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fixtures"))
from factor_samples import mixed_codes

IMPORTANCE = np.array([[0.7, 0.1, 0.0], [0.1, 0.8, 0.1], [0.2, 0.1, 0.6], [0.0, 0.0, 0.3]])  # latent × factor

STAND_INS = {
    "disent": {},
    "disent.dataset": {"DisentDataset": object},
    "disent.util": {"to_numpy": np.asarray},
    "disent.util.function": {"wrapped_partial": partial},
    "disent.metrics": {},
    "tqdm": {"tqdm": lambda items, **settings: items},
}


def loaded(folder: Path, name: str) -> ModuleType:
    """A module of disent.metrics."""
    spec = importlib.util.spec_from_file_location(f"disent.metrics.{name}", folder / "disent/metrics" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main(folder: Path) -> None:
    """Print the values."""
    for name, attributes in STAND_INS.items():
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(attributes)
    sys.modules["disent.metrics"].utils = loaded(folder, "utils")
    mig, sap, dci = (loaded(folder, name) for name in ("_mig", "_sap", "_dci"))
    train, test = mixed_codes(4000, 0), mixed_codes(2000, 1)
    pairs = train.mean.T, train.levels.T, test.mean.T, test.levels.T
    np.random.seed(0)  # noqa: NPY002  of gradient boosting
    found = mig._compute_mig(*pairs[2:]) | sap._compute_sap(*pairs, False) | dci._compute_dci(*pairs)
    found |= {"D": dci._disentanglement(IMPORTANCE), "C": dci._completeness(IMPORTANCE)}
    print(json.dumps({name: float(value) for name, value in found.items()}, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
