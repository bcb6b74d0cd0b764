"""Alignment: a tuned model learns what people prefer, from pairs, from thumbs, or from a reward."""
