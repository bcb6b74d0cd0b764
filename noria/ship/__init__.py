"""A model folder to products people use."""
