"""Training: one step, the loop around it, and checkpoints from which training resumes bit for bit."""
