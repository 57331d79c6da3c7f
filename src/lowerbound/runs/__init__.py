"""Runs: one experiment in a directory of its own, from settings and data to a trained model and its report."""
