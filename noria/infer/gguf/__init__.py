"""GGUF files: read safely, and turned into a model folder."""
