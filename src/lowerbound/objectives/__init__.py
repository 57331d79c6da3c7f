"""Training objectives, as independent choices: bound, gradient estimator, rate, number of samples, penalties."""
