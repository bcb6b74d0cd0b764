"""The market: who holds which share of it, why, what is left to win, and whom to address."""
