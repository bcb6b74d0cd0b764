"""Raw text to a compressed, certified model."""
