"""Settings searched for by short trials, and cross-validation."""
