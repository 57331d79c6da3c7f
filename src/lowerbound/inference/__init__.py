"""Tasks of a trained model: sample, reconstruct, encode, score, impute, interpolate, compare."""
