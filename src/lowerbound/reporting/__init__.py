"""Figures and reports, made only from results."""
