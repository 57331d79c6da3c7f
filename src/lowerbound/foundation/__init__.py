"""What knows nothing of VAEs: errors, numbers, seeds, files, schedules, and the schema of data."""
