"""What changed in use and market since the period before, and what to do about it: a few sentences, chosen by plain rules."""
