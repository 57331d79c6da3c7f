"""Runs: an experiment in a directory of its own, from settings and data to the trained model and its report."""
