"""The surrogate of two bounds has the gradient of each for its own parameters, as two backward passes would have."""

import pytest
import torch
from torch.testing import assert_close

from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.objectives.bounds import iwae, miwae
from lowerbound.objectives.objective import Objective
from lowerbound.objectives.two_bounds import two_bounds

pytestmark = pytest.mark.usefixtures("float64")


def model_of(posterior, prior="standard-normal"):
    config = ModelConfig(hidden=(7,), latent_dim=3, posterior=posterior, prior=prior)
    return build_model(config, (1, 4, 4), generator(0, "weights"))


def drawn(model, num_samples=6):
    x = torch.rand(5, 1, 4, 4, generator=generator(0, "x")).round()
    return model.sample_posterior(x, generator(0, "noise"), num_samples)


def gradients(model, loss):
    parameters = dict(model.named_parameters())
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return dict(zip(parameters, found, strict=True))


@pytest.mark.parametrize("posterior", ["diagonal-normal", "full-normal"])
@pytest.mark.parametrize("prior", ["standard-normal", "mixture-of-normals"])
def test_each_side_has_the_gradient_of_its_own_bound(posterior, prior):
    model = model_of(posterior, prior)
    objective = Objective(bound="piwae", bound_options={"num_groups": 3}, rate="monte-carlo", num_samples=6)
    together = gradients(model, objective(drawn(model)).value)
    generative = gradients(model, -iwae(drawn(model).log_weight).mean())
    inference = gradients(model, -miwae(drawn(model).log_weight, num_groups=3).mean())
    for name, gradient in together.items():
        assert_close(gradient, (inference if name.startswith("encoder") else generative)[name])


def test_with_one_bound_for_both_it_is_that_bounds_gradient():
    model = model_of("diagonal-normal")
    together = gradients(model, two_bounds(drawn(model), iwae, iwae).mean())
    alone = gradients(model, iwae(drawn(model).log_weight).mean())
    assert_close(together, alone)


def test_draws_without_weight_for_the_decoder_still_teach_the_encoder():
    """In single precision the weight of a draw far behind the best one underflows to 0, and its ratio must not."""
    model = model_of("diagonal-normal").float()
    x = torch.zeros(2, 1, 4, 4, dtype=torch.float32)
    with torch.no_grad():
        model.decoder.output.weight.mul_(300)
    samples = model.sample_posterior(x, generator(0, "noise"), 6)
    assert torch.softmax(samples.log_weight.float(), 0).min() == 0
    together = gradients(model, two_bounds(samples, iwae, lambda weights: miwae(weights, num_groups=6)).mean())
    again = model.sample_posterior(x, generator(0, "noise"), 6)
    expected = gradients(model, again.log_weight.mean())
    assert_close(together["encoder.heads.weight"], expected["encoder.heads.weight"], rtol=1e-4, atol=1e-3)


def test_its_reported_objective_is_the_bound_of_all_draws():
    model = model_of("diagonal-normal")
    objective = Objective(bound="piwae", bound_options={"num_groups": 3}, rate="monte-carlo", num_samples=6)
    assert_close(objective(drawn(model)).objective, iwae(drawn(model).log_weight).detach())
