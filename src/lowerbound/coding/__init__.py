"""Coding of examples with a model, in memory: bits back and the probabilities that every machine computes alike."""
