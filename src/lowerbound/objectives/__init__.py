"""What training maximises, as independent choices: bound, rate, and how many samples."""
