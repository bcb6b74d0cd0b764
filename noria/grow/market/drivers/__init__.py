"""What moves share and growth, and what the data cannot tell."""
