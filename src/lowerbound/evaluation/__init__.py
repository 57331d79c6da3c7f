"""Evaluation of trained models: scores with error, unit, split and convention; arrays for figures; diagnosis."""
