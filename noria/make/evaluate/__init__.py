"""Scores with intervals, baselines beside them, and a model's card."""
