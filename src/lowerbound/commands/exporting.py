"""The command that writes portable models."""
