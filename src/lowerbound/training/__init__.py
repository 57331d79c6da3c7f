"""Fitting a model: one step, the loop around it, and checkpoints that resume to the bit."""
