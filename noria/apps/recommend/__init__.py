"""Recommendation by text: items in, picks out."""
