"""Models: a VAE is an encoder, a posterior, a prior, a decoder and a likelihood."""
