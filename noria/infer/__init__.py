"""A model folder -> answers, fast."""
