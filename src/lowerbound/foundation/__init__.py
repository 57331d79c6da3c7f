"""The foundation, which knows nothing of VAEs: errors, numerics, seeds, files, schedules, and the schema of data."""
