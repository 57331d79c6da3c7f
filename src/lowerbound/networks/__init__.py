"""Encoder and decoder bodies. Networks know nothing of probability: they end in raw tensors."""
