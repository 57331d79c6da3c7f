"""What is done with a trained model: sample, reconstruct, encode, score, impute, interpolate, compare."""
