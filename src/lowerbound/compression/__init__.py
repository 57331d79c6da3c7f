"""Lossless compression with a trained model: bits-back coding into files that another machine can decode."""
