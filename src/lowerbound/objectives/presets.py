"""OBJECTIVES: the objectives of papers by name, each a choice of parts, for `objective.preset`.

Weights are those of the papers where they state one for images of this size; where they do not, ours, which is said.
Recipes of the same names add the model's parts.
"""

from lowerbound.objectives.objective import Objective

OBJECTIVES: dict[str, Objective] = {
    "vae": Objective(),
    "autoencoder": Objective(rate="none"),
    # Higgins et al., "beta-VAE", 2017
    "beta-vae": Objective(rate_weight=4.0),
    # Burgess et al., arXiv:1804.03599; capacity and weight as in the paper's experiments on sprites
    "capacity": Objective(rate="capacity", rate_options={"nats": 25.0}, rate_weight=1000.0, rate_warm_up=10.0),
    # Chen et al., arXiv:1802.04942: the KL once, and the total correlation five times more (β = 6)
    "beta-tcvae": Objective(penalties={"total-correlation": 5.0}),
    # Kim and Mnih, arXiv:1802.05983; γ from the range of the paper
    "factor-vae": Objective(penalties={"factor": 35.0}),
    # Kumar et al., arXiv:1711.00848
    "dip-vae-i": Objective(penalties={"dip-i": 10.0}),
    "dip-vae-ii": Objective(penalties={"dip-ii": 10.0}),
    # Zhao et al., arXiv:1706.02262, with α = 0: the KL once, and λ - 1 times the MMD; the weight is ours
    "info-vae": Objective(penalties={"mmd": 100.0}),
    # Tolstikhin et al., arXiv:1711.01558, λ for MNIST; needs model.posterior=point-mass
    "wae-mmd": Objective(rate="none", penalties={"mmd": 10.0}),
    # Ghosh et al., arXiv:1903.12436; needs model.posterior=point-mass; the weights are ours
    "rae-l2": Objective(rate="none", penalties={"latent-l2": 1e-2, "decoder-l2": 1e-3}),
    # Kingma et al., arXiv:1606.04934
    "free-bits": Objective(rate="free-bits", rate_options={"nats": 0.25}),
    # Fu et al., "Cyclical Annealing Schedule", arXiv:1903.10145: four cycles
    "cyclical": Objective(rate_cycles=4, rate_warm_up=3.0),
    # Burda et al., arXiv:1509.00519
    "iwae": Objective(bound="iwae", rate="monte-carlo", num_samples=50),
    # Rainforth et al., arXiv:1802.04537, each with 64 draws
    "miwae": Objective(bound="miwae", bound_options={"num_groups": 8}, rate="monte-carlo", num_samples=64),
    "ciwae": Objective(bound="ciwae", bound_options={"elbo_weight": 0.05}, rate="monte-carlo", num_samples=64),
    "piwae": Objective(bound="piwae", bound_options={"num_groups": 8}, rate="monte-carlo", num_samples=64),
    # Li and Turner, arXiv:1602.02311
    "renyi": Objective(bound="renyi", bound_options={"alpha": 0.5}, rate="monte-carlo", num_samples=50),
    # Masrani et al., arXiv:1907.00031
    "thermodynamic": Objective(bound="thermodynamic", rate="monte-carlo", num_samples=50),
    # Roeder et al., arXiv:1703.09194
    "sticking-the-landing": Objective(gradient="stl", rate="monte-carlo"),
    # Tucker et al., arXiv:1810.04152
    "dreg": Objective(bound="iwae", gradient="dreg", rate="monte-carlo", num_samples=50),
    # Mnih and Gregor, arXiv:1402.0030
    "score-function": Objective(gradient="score-function", rate="monte-carlo", num_samples=8),
}
