"""The foundation, which is independent of VAEs: errors, numerics, seeds, files, schedules, and the schema of data."""
