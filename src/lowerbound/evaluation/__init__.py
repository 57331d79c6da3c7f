"""Measuring a model: every number with its error, its unit, its split and its convention."""
