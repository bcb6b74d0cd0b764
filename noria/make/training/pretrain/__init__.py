"""A corpus to a language model, from nothing or from a base."""
