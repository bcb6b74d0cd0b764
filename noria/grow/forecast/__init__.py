"""Forecasts of shares, and the proof of how good they are."""
