"""What a model is for: rows in, answers out."""
