"""Models: a VAE consists of encoder, posterior, prior, decoder and likelihood."""
