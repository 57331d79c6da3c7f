"""Encoder and decoder bodies. Networks contain no probability: their outputs are raw tensors."""
