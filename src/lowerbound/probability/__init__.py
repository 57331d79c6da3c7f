"""Distributions, and the families that networks parameterise: likelihoods p(x|z), priors p(z), posteriors q(z|x)."""
