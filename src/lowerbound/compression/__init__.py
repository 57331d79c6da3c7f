"""Lossless compression with a trained model: files of examples, and what they take."""
