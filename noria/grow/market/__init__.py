"""The market: who holds which share of it."""
